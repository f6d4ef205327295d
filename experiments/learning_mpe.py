"""Learning curves of clip-HAPPO, HAPPO, clip-HATRPO and HATRPO on the three continuous MPE tasks of the paper.

    python experiments/learning_mpe.py                                # CPU size: 10 seeds, spread 0.5 M, others 0.25 M
    python experiments/learning_mpe.py --total_env_steps 10_000_000     # the paper's length

`--tasks` and `--algorithms` choose some of them. Interruptible with Ctrl-C: the same command goes on where it stopped.
Within a task everything but the algorithm is equal, seeds included (each has the paper's own hyper-parameters). Writes
`experiments/results/learning_mpe/`: every seed's curves (compressed NumPy arrays), a table, a figure for each task.
"""

import argparse
from pathlib import Path

import xarray as xr
from study import random_policy_return, table_row, train_or_resume, write_curves

import ltro_jax
from ltro_jax.analysis.figures import learning_curves, save_figure
from ltro_jax.analysis.statistics import final_score, iqm_interval

CPU_STEPS = {"simple_spread": 500_000, "simple_reference": 250_000, "simple_speaker_listener": 250_000}
ALGORITHMS = ("clip_happo", "happo", "clip_hatrpo", "hatrpo")
RETURNS = ("eval_return_greedy", "eval_return_sampled", "episode_return")
VARIANCES = ("adv_variance_raw", "adv_variance_used")
KEPT = (*RETURNS, *VARIANCES, "kl", "total_variation", "finite")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0:10")
    parser.add_argument("--total_env_steps", help="the same for every task (default: the CPU size)")
    parser.add_argument("--tasks", nargs="+", default=list(CPU_STEPS), choices=list(CPU_STEPS))
    parser.add_argument("--algorithms", nargs="+", default=list(ALGORITHMS), choices=list(ALGORITHMS))
    parser.add_argument("--runs", type=Path, default=Path("runs/learning_mpe"))
    parser.add_argument("--results", type=Path, default=Path("experiments/results/learning_mpe"))
    options = parser.parse_args()

    options.results.mkdir(parents=True, exist_ok=True)
    lines = ["# Four algorithms on the MPE tasks", "", "Made by `python experiments/learning_mpe.py`."]
    lines += ["Return: sum over agents and 25 steps, JaxMARL's environments; the last fifth of the evaluations (of the"]
    lines += ["iterations for `episode_return`). IQM over seeds [95 % bootstrap interval].", ""]
    for task in options.tasks:
        settings = {"seeds": options.seeds, "total_env_steps": options.total_env_steps or CPU_STEPS[task]}
        configs = {name: ltro_jax.load_preset(f"mpe/{task}", name, **settings) for name in options.algorithms}
        metrics = {
            name: train_or_resume(config, options.runs / task / name).metrics for name, config in configs.items()
        }
        for name, dataset in metrics.items():
            write_curves(dataset, KEPT, options.results / f"{task}-{name}.npz")
        baseline = random_policy_return(next(iter(configs.values())))
        figure = learning_curves(
            {name: dataset["eval_return_greedy"] for name, dataset in metrics.items()},
            ylabel="greedy evaluation return",
            title=f"mpe/{task}",
            baseline={"random": baseline},
            show_seeds=False,
        )
        save_figure(figure, options.results / f"{task}.png")
        lines += [*table(task, metrics), "", f"Uniformly random actions: {baseline:.2f} (2000 episodes).", ""]
        (options.results / "table.md").write_text("\n".join(lines))


def table(task: str, metrics: dict[str, xr.Dataset]) -> list[str]:
    """Final returns, and the advantage variance at the last position averaged over training."""
    first = next(iter(metrics.values()))
    lines = [f"## mpe/{task}, {first.sizes['member']} seeds × {int(first['env_steps'][-1]):,} steps", ""]
    lines += ["| | " + " | ".join(metrics) + " |", "|---|" + "---|" * len(metrics)]
    for name in RETURNS:
        rows = int(first[name].notnull().any("member").sum())
        scores = [final_score(dataset[name].values, last=max(1, rows // 5)) for dataset in metrics.values()]
        lines.append(table_row(name, [iqm_interval(score) for score in scores]))
    for name in VARIANCES:
        means = [dataset[name].isel(position=-1).mean("iteration").values for dataset in metrics.values()]
        lines.append(table_row(f"{name}, last position", [iqm_interval(mean) for mean in means]))
    return lines


if __name__ == "__main__":
    main()
