"""Code that the studies share: runs that resume, comparisons of variants, tables."""

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import xarray as xr

import ltro_jax
from ltro_jax.analysis.plots import learning_curves, position_curves, save_figure
from ltro_jax.analysis.results import file_name
from ltro_jax.analysis.statistics import Interval, final_score, iqm_interval
from ltro_jax.analysis.tables import interval_text, markdown_table
from ltro_jax.analysis.variances import VARIANCES
from ltro_jax.envs import make_env
from ltro_jax.runs import train_or_resume


def finished_run(config: ltro_jax.Config, path: Path) -> ltro_jax.Run:
    """Train or resume the run at `path`; exit if Ctrl-C stops it."""
    run = train_or_resume(config, path)
    if not run.finished:
        sys.exit(f"stopped; resume with `{' '.join(sys.argv)}` (not `ltro resume`)")
    return run


def random_policy_return(config: ltro_jax.Config, num_episodes: int = 2000) -> float:
    """Mean episode return of uniform random actions: of the available ones, or from the action box [0, 1]."""
    env = make_env(config.static)

    def episode(key):
        reset_key, act_key = jax.random.split(key)
        start = env.reset(reset_key)

        def step(carry, step_key):
            env_state, timestep, running = carry
            action_key, env_key = jax.random.split(step_key)
            if env.spec.discrete:
                action = jax.random.categorical(action_key, jnp.where(timestep.action_mask, 0.0, -jnp.inf))
            else:
                action = jax.random.uniform(action_key, timestep.action_mask.shape)
            env_state, timestep = env.step(env_key, env_state, action)
            return (env_state, timestep, running & ~timestep.done), jnp.where(running, timestep.reward, 0.0)

        keys = jax.random.split(act_key, env.spec.episode_length)
        return jax.lax.scan(step, (*start, jnp.ones((), bool)), keys)[1].sum()

    return float(jax.jit(jax.vmap(episode))(jax.random.split(jax.random.key(0), num_episodes)).mean())


def write_curves(dataset: xr.Dataset, names: Sequence[str], path: Path) -> None:
    """Write the curves of all seeds of the metrics `names` as compressed arrays."""
    arrays = {name: dataset[name].values for name in (*names, "env_steps", "seed")}
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]


def interval_table(rows: Mapping[str, Sequence[Interval]], columns: Iterable[str]) -> str:
    """A Markdown table of intervals: title → one interval for each column."""
    cells = [[title, *(interval_text(interval, ".2f") for interval in row)] for title, row in rows.items()]
    return markdown_table(pd.DataFrame(cells, columns=["", *columns]))


def compare(
    name: str,
    description: str | None,
    *,
    tasks: Mapping[str, Mapping[str, Any]],
    variants: Mapping[str, Mapping[str, Any]],
    scores: Sequence[str],
    unit: str,
    positions: bool = False,
) -> None:
    """Train variants on tasks with the same seeds; write the curves of all seeds, a table, and a plot for each task.

    Args:
        name: name of the study, its script and its results.
        description: help of the command line.
        tasks: title, which starts with the task → settings of the CPU size, including `total_env_steps`, on top of the
            preset of the task.
        variants: label → the settings to compare, including `algorithm`.
        scores: metrics whose final values the table shows; the plot shows the first.
        unit: a sentence that explains the score.
        positions: also plot the variance of the weighted advantage by position over training.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0:10")
    parser.add_argument("--total_env_steps", help="the same for every task (default: the CPU size)")
    parser.add_argument("--tasks", nargs="+", default=list(tasks), help="others need --total_env_steps")
    parser.add_argument("--variants", nargs="+", default=list(variants), choices=list(variants))
    parser.add_argument("--runs", type=Path, default=Path("runs") / name)
    parser.add_argument("--results", type=Path, default=Path("experiments/results") / name)
    options = parser.parse_args()

    options.results.mkdir(parents=True, exist_ok=True)
    lines = [f"# {name}", "", f"Made by `python experiments/{name}.py`. {unit}", ""]
    lines += ["The last fifth of the evaluations (of the iterations for training metrics), IQM over seeds [95 %"]
    lines += ["bootstrap interval].", ""]
    length = {"total_env_steps": options.total_env_steps} if options.total_env_steps else {}
    for title in options.tasks:
        task, stem = title.split()[0], file_name(title)
        settings = {**tasks.get(title, {}), **length, "seeds": options.seeds}
        configs = {label: ltro_jax.load_preset(task, **{**settings, **variants[label]}) for label in options.variants}
        metrics = {
            label: finished_run(config, options.runs / stem / file_name(label)).metrics
            for label, config in configs.items()
        }
        for label, dataset in metrics.items():
            kept = (*scores, *VARIANCES.values(), "kl", "total_variation", "finite")
            write_curves(dataset, kept, options.results / f"{stem}-{file_name(label)}.npz")
        baseline = {}
        if "return" in scores[0]:
            baseline = {"random": random_policy_return(next(iter(configs.values())))}
        figure = learning_curves(
            {label: dataset[scores[0]] for label, dataset in metrics.items()},
            ylabel=scores[0].replace("_", " "),
            title=title,
            baseline=baseline,
            show_seeds=False,
        )
        save_figure(figure, options.results / f"{stem}.png")
        if positions:
            used = {label: dataset["adv_variance_used"] for label, dataset in metrics.items()}
            window = max(1, min(dataset.sizes["iteration"] for dataset in metrics.values()) // 20)
            figure = position_curves(used, ylabel="used advantage variance", title=title, window=window, log=True)
            save_figure(figure, options.results / f"{stem}-variance.png")
        first = next(iter(metrics.values()))
        lines += [f"## {title}, {first.sizes['member']} seeds × {int(first['env_steps'][-1]):,} steps", ""]
        lines += [_comparison_table(metrics, scores)]
        lines += [f"Random actions: return {value:.2f} (2000 episodes)." for value in baseline.values()]
        lines += [""] * len(baseline)
        (options.results / "table.md").write_text("\n".join(lines))
    print((options.results / "table.md").read_text())


def _comparison_table(metrics: Mapping[str, xr.Dataset], scores: Sequence[str]) -> str:
    """Final scores, and the advantage variance at the last position averaged over training."""
    first = next(iter(metrics.values()))
    rows = {}
    for name in scores:
        evaluations = int(first[name].notnull().any("member").sum())
        final = [final_score(dataset[name].values, last=max(1, evaluations // 5)) for dataset in metrics.values()]
        rows[name] = [iqm_interval(score) for score in final]
    for name in VARIANCES.values():
        means = [dataset[name].isel(position=-1).mean("iteration", skipna=False).values for dataset in metrics.values()]
        rows[f"{name}, last position"] = [iqm_interval(mean) for mean in means]
    return interval_table(rows, metrics)
