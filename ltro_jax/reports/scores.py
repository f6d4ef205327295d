"""The sections of a report about scores: curves, final scores, profiles, improvement, efficiency."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import xarray as xr

from ltro_jax.analysis.plots import learning_curves, svg
from ltro_jax.analysis.results import file_name
from ltro_jax.analysis.statistics import iqm
from ltro_jax.presets.published import Published
from ltro_jax.reports.comparison import Comparison, interval_text, number, share, thinned
from ltro_jax.reports.estimates import (
    aggregates,
    curve_interval,
    mean_probability_of_improvement,
    reach,
)
from ltro_jax.reports.page import Block, Picture, Section, Table, Text
from ltro_jax.reports.score_plots import Pair, improvement_figure, profile_figure
from ltro_jax.runs.progress import short

MOST_PAIRS = 28
CURVE_POINTS = 200  # a longer curve is drawn as means over windows
WAY = (0.5, 0.75, 0.9, 0.95)  # of the way from the first evaluation to the best
BUDGET = (0.1, 0.25, 0.5, 0.75, 1.0)
ALL_TASKS = "all tasks, normalised"


def ends(curves: Mapping[str, xr.DataArray]) -> str:
    """The last values of curves as text."""
    return "; ".join(f"{label} {number(float(iqm(curve.values[:, -1])))}" for label, curve in curves.items())


def learning_section(comparison: Comparison) -> Section:
    """A plot for each task."""
    blocks: list[Block] = []
    for task in comparison.tasks:
        drawn = comparison.drawn(task)
        if not drawn:
            continue  # other tasks have better runs
        curves = {entry.label: thinned(entry.curve(comparison.metric), CURVE_POINTS) for entry in drawn}
        failed = {
            entry.label: entry.metrics.isel(member=[seed in entry.failures for seed in entry.seeds])[comparison.metric]
            for entry in drawn
            if entry.failures
        }
        published = comparison.published(task)
        figure = learning_curves(
            curves,
            ylabel=comparison.words,
            title=task,
            baseline={f"published {value.algorithm}": value.value for value in published},
            failed=failed,
            lines=comparison.lines,
        )
        alt = f"{comparison.words} on {task} against environment steps. At the end: {ends(curves)}."
        caption = "Interquartile mean over seeds with its 95 % bootstrap interval; thin lines are seeds."
        if all(entry.healthy.sizes["member"] == 1 for entry in drawn):
            caption = "A single seed gives no interval."
        if failed:
            caption += " Crosses: seeds that became non-finite; no mean includes them."
        if published:
            caption += " Dashed: published values (see Final scores)."
        blocks.append(Picture(f"learning-{file_name(task)}", svg(figure), alt, caption))
    return Section("learning-curves", "Learning curves", blocks)


def score_section(comparison: Comparison) -> Section:
    """A table for each task, and a table over all tasks."""
    blocks: list[Block] = []
    for task in comparison.tasks:
        rows = []
        for label, by_task in comparison.scores.items():
            if task in by_task:
                seeds = by_task[task]
                extremes = [number(float(np.min(seeds))), number(float(np.max(seeds)))]
                rows.append([label, str(len(seeds)), *map(interval_text, aggregates([seeds])), *extremes])
        caption = (
            f"{task}: {comparison.words}, mean of each seed over the last fifth of the recorded values; "
            "[95 % bootstrap interval]."
        )
        blocks.append(Table(["run", "seeds", "IQM", "mean", "median", "lowest", "highest"], rows, caption))
        published = comparison.published(task)
        if published:
            blocks.append(_published_table(task, published))
    if len(comparison.tasks) > 1:
        complete = comparison.complete
        rows = [
            [label, *(interval_text(estimate, share) for estimate in aggregates(list(tasks.values())))]
            for label, tasks in complete.items()
        ]
        caption = (
            "All tasks: scores with the lowest seed of a task at 0 and the highest at 1; IQM over all seeds of all "
            "tasks, mean and median over the means of the tasks; [95 % interval, stratified by task]."
        )
        blocks.append(Table(["run", "IQM", "mean", "median"], rows, caption))
        if len(complete) < len(comparison.scores):
            blocks.append(Text("Only runs with every task appear in the table over tasks."))
    return Section("final-scores", "Final scores", blocks)


def _published_table(task: str, published: Sequence[Published]) -> Table:
    rows = [
        [value.algorithm, number(value.value), short(value.steps), value.unit, f"{value.source}, {value.reading}"]
        for value in published
    ]
    return Table(["algorithm", "value", "steps", "unit", "source"], rows, f"{task}: published values.")


def profile_section(comparison: Comparison) -> Section:
    """A panel for each task, and a panel over all tasks."""
    panels = {
        task: {
            label: [by_task[task]]
            for label, by_task in comparison.scores.items()
            if comparison.can_be_drawn(label, task)
        }
        for task in comparison.tasks
    }
    panels = {task: curves for task, curves in panels.items() if curves}
    complete = comparison.complete if len(comparison.tasks) > 1 else {}
    together = {
        label: list(by_task.values())
        for label, by_task in complete.items()
        if all(comparison.can_be_drawn(label, task) for task in by_task)
    }
    if together:
        panels[ALL_TASKS] = together
    if not panels:
        return Section("profiles", "Performance profiles", [Text("No seed has a score.")])
    title, xlabel = comparison.tasks[0], comparison.words
    if len(panels) > 1:
        title, xlabel = comparison.words, "score"
    figure = profile_figure(panels, xlabel=xlabel, title=title, lines=comparison.lines)
    medians = "; ".join(
        f"{task}: " + ", ".join(f"{label} {number(float(np.median(np.concatenate(x))))}" for label, x in curves.items())
        for task, curves in panels.items()
    )
    alt = f"Share of runs with a score above each value of {comparison.words}. Half of the runs are above: {medians}."
    caption = "Share of runs that end above a score, with pointwise 95 % bootstrap bands; further right is better."
    return Section("profiles", "Performance profiles", [Picture("profiles", svg(figure), alt, caption)])


def improvement_section(comparison: Comparison) -> Section:
    """The probability that one run scores higher than another; with many runs, the best against each of the others."""
    compared: list[Pair] = []
    labels = comparison.ranked
    pairs = list(combinations(labels, 2))
    if len(pairs) > MOST_PAIRS:
        pairs = [(labels[0], other) for other in labels[1:]][:MOST_PAIRS]
    shared = set()
    for x, y in pairs:
        of_x, of_y = comparison.scores[x], comparison.scores[y]
        both = [task for task in of_x if task in of_y]
        if both:
            probability = mean_probability_of_improvement([of_x[task] for task in both], [of_y[task] for task in both])
            if not np.isnan(probability.point):
                compared.append(Pair(x, y, probability))
                shared.add(len(both))
    heading = "Probability of improvement"
    if not compared:
        return Section(
            "improvement", heading, [Text("This section needs two runs of one task that differ in their settings.")]
        )
    over = f", averaged over {' or '.join(map(str, sorted(shared)))} tasks" if max(shared) > 1 else ""
    words = "; ".join(f"{pair.x} over {pair.y} {interval_text(pair.probability, share)}" for pair in compared)
    picture = Picture(
        "improvement",
        svg(improvement_figure(compared, title="Probability that X scores higher than Y")),
        f"P(X > Y): {words}.",
        f"P(X > Y) + ½ P(X = Y), by Mann and Whitney's U{over}, with its 95 % bootstrap interval; higher is "
        "better. An interval that contains 0.5 shows no difference.",
    )
    rows = [[pair.x, pair.y, interval_text(pair.probability, share)] for pair in compared]
    table = Table(["X", "Y", "P(X > Y)"], rows, "The values of the plot.")
    return Section("improvement", heading, [picture, table])


def efficiency_section(comparison: Comparison) -> Section:
    """Steps to parts of the best score, and scores at parts of the budget; two tables for each task."""
    blocks: list[Block] = []
    for task in comparison.tasks:
        curves = {entry.label: entry.curve(comparison.metric) for entry in comparison.scored if entry.task == task}
        means = [mean[np.isfinite(mean)] for mean in (iqm(curve.values) for curve in curves.values())]
        start = float(np.mean([mean[0] for mean in means if mean.size]))
        best = max(float(mean.max()) for mean in means if mean.size)
        budget = min(int(curve.env_steps.values[-1]) for curve in curves.values())
        to_reach, at_part = [], []
        for label, curve in curves.items():
            steps, seeds = curve.env_steps.values, curve.sizes["member"]
            reached = [reach(curve.values, steps, start + part * (best - start)) for part in WAY]
            cells = [f"{'–' if np.isnan(at.env_steps) else short(at.env_steps)} ({at.seeds}/{seeds})" for at in reached]
            to_reach.append([label, *cells])
            columns = [int(np.searchsorted(steps, part * budget, side="right")) - 1 for part in BUDGET]
            at_part.append(
                [label, *(interval_text(curve_interval(curve.values[:, c])) if c >= 0 else "–" for c in columns)]
            )
        blocks += [
            Table(
                ["run", *(f"{100 * part:g} %" for part in WAY)],
                to_reach,
                f"{task}: environment steps after which the IQM over seeds first covers a part of the way from "
                f"{number(start)}, the first value (mean over the runs), to {number(best)}, the highest of any run; "
                "– = never. In brackets: the seeds that ever reach it.",
            ),
            Table(
                ["run", *(f"{100 * part:g} %" for part in BUDGET)],
                at_part,
                f"{task}: {comparison.words} at parts of the {short(budget)} steps that all runs have; IQM [95 % "
                "bootstrap interval] of the last value before that.",
            ),
        ]
    return Section("efficiency", "Sample efficiency", blocks)
