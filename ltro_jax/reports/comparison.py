"""Compare series in one metric: scores, ranks, line styles, and warnings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr

from ltro_jax.analysis.plots import Line, default_lines
from ltro_jax.analysis.statistics import Array, Interval, iqm
from ltro_jax.presets.published import Published, comparable_values
from ltro_jax.reports.estimates import normalised
from ltro_jax.reports.series import Series
from ltro_jax.runs.progress import short
from ltro_jax.runs.scoring import metric_words

MOST_CURVES = 12  # more cannot be distinguished in a plot


@dataclass(frozen=True)
class Comparison:
    """The series of a report and the metric that compares them; higher is better."""

    series: Sequence[Series]
    metric: str

    @cached_property
    def scored(self) -> list[Series]:
        """The series with healthy members."""
        return [entry for entry in self.series if entry.healthy.sizes["member"]]

    @cached_property
    def tasks(self) -> list[str]:
        return list(dict.fromkeys(entry.task for entry in self.scored))

    @cached_property
    def scores(self) -> dict[str, dict[str, Array]]:
        """Label → task → `[S]`."""
        scores: dict[str, dict[str, Array]] = {}
        for entry in self.scored:
            scores.setdefault(entry.label, {})[entry.task] = entry.scores(self.metric)
        return scores

    @cached_property
    def normalised(self) -> dict[str, dict[str, Array]]:
        """`scores` with the lowest of each task at 0 and the highest at 1."""
        return normalised(self.scores)

    @cached_property
    def complete(self) -> dict[str, dict[str, Array]]:
        """Normalised scores of the labels that have every task, tasks in one order."""
        return {
            label: {task: by_task[task] for task in self.tasks}
            for label, by_task in self.normalised.items()
            if len(by_task) == len(self.tasks)
        }

    @cached_property
    def ranked(self) -> list[str]:
        """Labels by the IQM of their normalised scores, best first."""
        means = {label: iqm(np.concatenate(list(by_task.values()))) for label, by_task in self.normalised.items()}
        return sorted(means, key=lambda label: -np.nan_to_num(means[label]))

    @cached_property
    def lines(self) -> dict[str, Line]:
        """Label → dashes and colour of the drawn series, in the order of the runs."""
        return default_lines(label for label in self.scores if label in self.ranked[:MOST_CURVES])

    def published(self, task: str) -> list[Published]:
        """Published values in the unit of a task's runs; none unless the metric is a return."""
        settings = next(entry.settings for entry in self.scored if entry.task == task)
        return comparable_values(settings) if "return" in self.metric else []

    def drawn(self, task: str) -> list[Series]:
        """The series of a task that plots show."""
        by_label = {entry.label: entry for entry in self.scored if entry.task == task}
        return [by_label[label] for label in self.lines if label in by_label]

    def can_be_drawn(self, label: str, task: str) -> bool:
        """Whether the label is drawn and all its seeds have a score on the task."""
        return label in self.lines and not np.isnan(self.scores[label].get(task, np.nan)).any()

    @property
    def words(self) -> str:
        return metric_words(self.metric, self.scored[0].metrics.attrs["team_reward"])


def number(value: float) -> str:
    """Four digits, or a dash for NaN."""
    return "–" if np.isnan(value) else f"{value:#.4g}".removesuffix(".")


def share(value: float) -> str:
    """A number from 0 to 1 in two decimals."""
    return "–" if np.isnan(value) else f"{value:.2f}"


def interval_text(interval: Interval, words: Callable[[float], str] = number) -> str:
    """`point [low, high]`; only the point if a single seed gives no interval."""
    point, low, high = map(float, interval)
    return words(point) if np.isnan(low) else f"{words(point)} [{words(low)}, {words(high)}]"


def thinned(curve: xr.DataArray, most: int) -> xr.DataArray:
    """At most `most` points along iteration, each the mean over a window, at the end of the window."""
    curve = curve.dropna("iteration", how="all")
    window = -(-curve.sizes["iteration"] // most)
    if window <= 1:
        return curve
    return curve.coarsen(iteration=window, boundary="pad", coord_func="max").mean()  # type: ignore[attr-defined]


def notes(comparison: Comparison) -> list[str]:
    """Warnings that a reader must know before comparing."""
    tasks, sentences = comparison.tasks, []

    def names(series: list[Series]) -> str:
        return ", ".join(f"{entry.label} on {entry.task}" for entry in series)

    alone = [entry for entry in comparison.scored if entry.healthy.sizes["member"] == 1]
    if alone:
        sentences.append(f"One seed gives no interval: {names(alone)}. Train with --seeds 0:10.")
    unfinished = [entry for entry in comparison.series if entry.done[0] < entry.done[1]]
    if unfinished:
        steps = [(names([entry]), *map(short, entry.done)) for entry in unfinished]
        done = ", ".join(f"{name} ({so_far} of {planned} steps)" for name, so_far, planned in steps)
        sentences.append(f"Not finished: {done}. Scores are preliminary.")
    unequal = [task for task in tasks if len({entry.done[0] for entry in comparison.scored if entry.task == task}) > 1]
    if unequal:
        sentences.append(f"Runs of {', '.join(unequal)} differ in length; their final scores have different budgets.")
    failed = [entry for entry in comparison.series if entry.failures]
    if failed:
        counts = ", ".join(f"{names([entry])} {len(entry.failures)} of {len(entry.seeds)}" for entry in failed)
        sentences.append(
            f"Seeds became non-finite and were frozen: {counts}. No statistic includes them, which favours that run."
        )
    if len(comparison.scores) > len(comparison.lines):
        drawn = f"the {len(comparison.lines)} best of {len(comparison.scores)} runs"
        sentences.append(f"Plots show {drawn}; tables show all.")
    return sentences
