"""Learning curves and advantage variance of clip-HAPPO and HAPPO on continuous simple_spread.

    python experiments/learning_simple_spread.py                              # CPU size: 10 seeds × 1 M steps each
    python experiments/learning_simple_spread.py --total_env_steps 10_000_000   # the paper's length
    python experiments/learning_simple_spread.py --preset mpe_paper/simple_spread --algorithms clip_happo \\
        --total_env_steps 600_000 --runs runs/reference_physics --results experiments/results/reference_physics

Ctrl-C interrupts it; the same command resumes it. The runs differ only in their algorithm, and have the same seeds.
Writes the curves of every seed (compressed NumPy arrays), a table and two plots. The last command compares training
with the curve of the authors' implementation in the physics of PettingZoo 1.22.
"""

import argparse
import sys
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

ALGORITHMS = ["clip_happo", "happo"]
SELF_COLLISION = 37.5  # PettingZoo's team sum over 25 steps is lower by this constant (N = 3)
# The authors' implementation, seed 1, its own settings: mean training return after so many environment steps.
REFERENCE_STEPS = (40e3, 120e3, 280e3, 440e3, 580e3)
REFERENCE = {
    "clip_happo": (-108.0, -100.3, -97.6, -95.5, -94.8),
    "happo": (-108.0, -100.1, -96.9, -94.5, -94.1),
}
JAXMARL, PETTINGZOO = PRESETS = ("mpe/simple_spread", "mpe_paper/simple_spread")
REFERENCE_WORDS = {
    JAXMARL: (
        "Training return and that of the authors' implementation (seed 1, its settings; its units + 37.5, since its\n"
        "environment counts an agent's collision with itself). JaxMARL's actions take effect a step later than those\n"
        "of the authors' environment: `../reference_physics/table.md` has the same comparison with their physics."
    ),
    PETTINGZOO: "Training return and that of the authors' implementation (seed 1, its settings), in the same unit.",
}
KEPT = ["episode_return", "eval_return_greedy", "eval_return_sampled", *FactorStatistics._fields, "entropy", "finite"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=PRESETS, default=JAXMARL)
    parser.add_argument("--algorithms", nargs="+", choices=ALGORITHMS, default=ALGORITHMS)
    parser.add_argument("--seeds", default="0:10")
    parser.add_argument("--total_env_steps", default="1_000_000")
    parser.add_argument("--runs", type=Path, default=Path("runs/learning_simple_spread"))
    parser.add_argument("--results", type=Path, default=Path("experiments/results/learning_simple_spread"))
    options = parser.parse_args()

    runs = {}
    for algorithm in options.algorithms:
        settings = {"seeds": options.seeds, "total_env_steps": options.total_env_steps}
        runs[algorithm] = finished_run(
            ltro_jax.load_preset(options.preset, algorithm, **settings), options.runs / algorithm
        )
    metrics = {algorithm: run.metrics for algorithm, run in runs.items()}
    options.results.mkdir(parents=True, exist_ok=True)
    for name, dataset in metrics.items():
        write_curves(dataset, KEPT, options.results / f"{name}.npz")
    random_return = random_policy_return(runs[options.algorithms[0]].config)
    write_table(metrics, random_return, options)
    write_plots(metrics, random_return, options)
    print((options.results / "table.md").read_text())


def write_table(metrics: dict[str, xr.Dataset], random_return: float, options: argparse.Namespace) -> None:
    """IQM over seeds with 95 % bootstrap intervals."""
    first = next(iter(metrics.values()))
    steps, seeds = int(first["env_steps"][-1]), first.sizes["member"]
    published_physics = options.preset == PETTINGZOO
    physics = "PettingZoo 1.22" if published_physics else "JaxMARL"
    difference = 0.0 if published_physics else SELF_COLLISION
    (options.results / "table.md").write_text(
        f"# {options.preset} (continuous, N = 3), {seeds} seeds × {steps:,} steps\n\n"
        f"Made by `python {' '.join(sys.argv)}`.\n"
        f"Return: sum over agents and 25 steps, physics of {physics}. IQM over seeds [95 % bootstrap interval].\n\n"
        f"{interval_table(_intervals(metrics), metrics)}\n"
        f"Uniformly random actions: {random_return:.2f} (2000 episodes).\n\n"
        f"{REFERENCE_WORDS[options.preset]}\n\n{markdown_table(_reference_table(metrics, steps, difference))}"
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


def _reference_table(metrics: dict[str, xr.Dataset], steps: int, difference: float) -> pd.DataFrame:
    """Mean training return around some steps, of each algorithm here and in the authors' implementation.

    Args:
        difference: added to the values of the authors' implementation.
    """
    rows = []
    for index, at in enumerate(REFERENCE_STEPS):
        if at > steps:
            continue
        cells = [f"{at / 1e3:.0f} k"]
        for name, dataset in metrics.items():
            near = dataset["episode_return"].sel(iteration=(abs(dataset["env_steps"] - at) <= 20e3).values)
            cells += [
                f"{iqm_interval(near.mean('iteration').values).point:.1f}",
                f"{REFERENCE[name][index] + difference:.1f}",
            ]
        rows.append(cells)
    return pd.DataFrame(rows, columns=["env steps", *(column for name in metrics for column in (name, "reference"))])


def write_plots(metrics: dict[str, xr.Dataset], random_return: float, options: argparse.Namespace) -> None:
    returns = {name: dataset["eval_return_greedy"] for name, dataset in metrics.items()}
    figure = learning_curves(
        returns, ylabel="greedy evaluation return", title=f"{options.preset}, N = 3", baseline={"random": random_return}
    )
    save_figure(figure, options.results / "learning_curves.png")
    variance = {f"{name}: R·A": dataset["adv_variance_raw"] for name, dataset in metrics.items()}
    if "clip_happo" in metrics:
        variance["clip_happo: min(R,1)·A"] = metrics["clip_happo"]["adv_variance_used"]
    figure = position_curves(variance, ylabel="advantage variance", title=f"{options.preset}, N = 3", window=10)
    save_figure(figure, options.results / "advantage_variance.png")


if __name__ == "__main__":
    main()
