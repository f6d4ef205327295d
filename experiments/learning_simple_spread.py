"""Learning curves and advantage variance of clip-HAPPO and HAPPO on continuous simple_spread.

    python experiments/learning_simple_spread.py                              # CPU size: 10 seeds × 1 M steps each
    python experiments/learning_simple_spread.py --total_env_steps 10_000_000   # the paper's length

After Ctrl-C, the same command resumes where it stopped. Everything but the algorithm is equal, seeds included. Writes
`experiments/results/learning_simple_spread/`: every seed's curves (compressed NumPy arrays), a table, two plots.
"""

import argparse
from pathlib import Path

import pandas as pd
import xarray as xr
from study import finished_run, interval_table, random_policy_return, write_curves

import ltro_jax
from ltro_jax.algorithms.factor_statistics import FactorStatistics
from ltro_jax.analysis.plots import learning_curves, position_curves, save_figure
from ltro_jax.analysis.statistics import Interval, final_score, iqm_interval
from ltro_jax.analysis.tables import markdown_table
from ltro_jax.analysis.variances import VARIANCES

TASK = "mpe/simple_spread"
ALGORITHMS = ("clip_happo", "happo")
SELF_COLLISION = 37.5  # PettingZoo's team sum over 25 steps is lower by this constant (N = 3)
# The authors' implementation, seed 1, with its settings: mean training return, (env steps, clip_happo, happo).
REFERENCE = [
    (40e3, -108.0, -108.0),
    (120e3, -100.3, -100.1),
    (280e3, -97.6, -96.9),
    (440e3, -95.5, -94.5),
    (580e3, -94.8, -94.1),
]
KEPT = ["episode_return", "eval_return_greedy", "eval_return_sampled", *FactorStatistics._fields, "entropy", "finite"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0:10")
    parser.add_argument("--total_env_steps", default="1_000_000")
    parser.add_argument("--runs", type=Path, default=Path("runs/learning_simple_spread"))
    parser.add_argument("--results", type=Path, default=Path("experiments/results/learning_simple_spread"))
    options = parser.parse_args()

    runs = {}
    for algorithm in ALGORITHMS:
        settings = {"seeds": options.seeds, "total_env_steps": options.total_env_steps}
        runs[algorithm] = finished_run(ltro_jax.load_preset(TASK, algorithm, **settings), options.runs / algorithm)
    metrics = {algorithm: run.metrics for algorithm, run in runs.items()}
    options.results.mkdir(parents=True, exist_ok=True)
    for name, dataset in metrics.items():
        write_curves(dataset, KEPT, options.results / f"{name}.npz")
    random_return = random_policy_return(runs["clip_happo"].config)
    write_table(metrics, random_return, options.results / "table.md")
    write_plots(metrics, random_return, options.results)
    print((options.results / "table.md").read_text())


def write_table(metrics: dict[str, xr.Dataset], random_return: float, path: Path) -> None:
    """IQM over seeds with 95 % bootstrap intervals."""
    first = next(iter(metrics.values()))
    steps, seeds = int(first["env_steps"][-1]), first.sizes["member"]
    path.write_text(
        f"# {TASK} (continuous, N = 3), {seeds} seeds × {steps:,} steps\n\n"
        "Made by `python experiments/learning_simple_spread.py`.\n"
        "Return: sum over agents and 25 steps, JaxMARL's environment. IQM over seeds [95 % bootstrap interval].\n\n"
        f"{interval_table(_intervals(metrics), metrics)}\n"
        f"Uniformly random actions: {random_return:.2f} (2000 episodes).\n\n"
        "Training return and that of the authors' implementation (seed 1, its settings; its units + 37.5, since its\n"
        "environment counts an agent's collision with itself). JaxMARL's actions take effect a step later than those\n"
        "of the authors' environment: `reference_physics.md` has the same comparison with their physics.\n\n"
        f"{markdown_table(_reference_table(metrics, steps))}"
    )


def _intervals(metrics: dict[str, xr.Dataset]) -> dict[str, list[Interval]]:
    """Title → intervals of final scores, and of variances by position, averaged over training."""
    first = next(iter(metrics.values()))
    rows = {}
    for name in ("eval_return_greedy", "eval_return_sampled", "episode_return"):
        evaluations = int(first[name].notnull().any("member").sum())
        scores = [final_score(dataset[name].values, last=max(1, evaluations // 5)) for dataset in metrics.values()]
        rows[f"{name}, last fifth"] = [iqm_interval(score) for score in scores]
    for position in range(first.sizes["position"]):
        for name in VARIANCES.values():
            means = [
                dataset[name][:, :, position].mean("iteration", skipna=False).values for dataset in metrics.values()
            ]
            rows[f"{name}, position {position + 1}, mean over training"] = [iqm_interval(mean) for mean in means]
    return rows


def _reference_table(metrics: dict[str, xr.Dataset], steps: int) -> pd.DataFrame:
    """Mean training return around some steps, of each algorithm here and in the authors' implementation."""
    rows = []
    for at, *references in REFERENCE:
        if at > steps:
            continue
        cells = [f"{at / 1e3:.0f} k"]
        for dataset, reference in zip(metrics.values(), references, strict=True):
            near = dataset["episode_return"].sel(iteration=(abs(dataset["env_steps"] - at) <= 20e3).values)
            cells += [f"{iqm_interval(near.mean('iteration').values).point:.1f}", f"{reference + SELF_COLLISION:.1f}"]
        rows.append(cells)
    return pd.DataFrame(rows, columns=["env steps", "clip_happo", "reference", "happo", "reference"])


def write_plots(metrics: dict[str, xr.Dataset], random_return: float, results: Path) -> None:
    returns = {name: dataset["eval_return_greedy"] for name, dataset in metrics.items()}
    figure = learning_curves(
        returns, ylabel="greedy evaluation return", title=f"{TASK}, N = 3", baseline={"random": random_return}
    )
    save_figure(figure, results / "learning_curves.png")
    variance = {
        "happo: R·A": metrics["happo"]["adv_variance_raw"],
        "clip_happo: min(R,1)·A": metrics["clip_happo"]["adv_variance_used"],
        "clip_happo: R·A": metrics["clip_happo"]["adv_variance_raw"],
    }
    figure = position_curves(variance, ylabel="advantage variance", title=f"{TASK}, N = 3", window=10)
    save_figure(figure, results / "advantage_variance.png")


if __name__ == "__main__":
    main()
