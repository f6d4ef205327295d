"""Plots of the variance study: variances over training and by position, and learning curves."""

from collections.abc import Mapping

import xarray as xr
from matplotlib.figure import Figure

from ltro_jax.analysis.plots import count_curves, learning_curves, position_curves
from ltro_jax.analysis.variances import VARIANCES
from ltro_jax.laboratories.variance.tables import by_position


def variance_figures(runs: Mapping[str, xr.Dataset], title: str) -> dict[str, Figure]:
    """Plots of runs with the same task and number of agents.

    Args:
        runs: label → metrics of the healthy members.
        title: one line above each plot.
    Returns:
        `variance_over_training`, `variance_by_position` and, if every run has finished episodes, `learning_curves`.
    """
    over_training = {
        f"{label}: {kind}": dataset[name] for label, dataset in runs.items() for kind, name in VARIANCES.items()
    }
    iterations = min(dataset.sizes["iteration"] for dataset in runs.values())
    positions = {
        f"{label}: {kind}": (dataset["position"].values + 1, by_position(dataset)[name].values)
        for label, dataset in runs.items()
        for kind, name in VARIANCES.items()
    }
    figures = {
        "variance_over_training": position_curves(
            over_training, ylabel="advantage variance", title=title, window=max(1, iterations // 20)
        ),
        "variance_by_position": count_curves(
            positions, xlabel="position in the order", ylabel="advantage variance, mean over training", title=title
        ),
    }
    scores = {label: dataset["episode_return"] for label, dataset in runs.items()}
    if all(bool(score.notnull().any()) for score in scores.values()):
        figures["learning_curves"] = learning_curves(scores, ylabel="episode return", title=title, show_seeds=False)
    return figures
