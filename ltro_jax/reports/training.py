"""The sections of a report about the training itself: advantage variance, agents, failures, time."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
import xarray as xr

from ltro_jax.analysis.plots import position_curves, svg
from ltro_jax.analysis.results import file_name
from ltro_jax.analysis.variances import VARIANCES
from ltro_jax.reports.comparison import Comparison, thinned
from ltro_jax.reports.page import Block, Folded, Picture, Section, Table, Text
from ltro_jax.reports.series import Series
from ltro_jax.runs.load import Run
from ltro_jax.runs.progress import short
from ltro_jax.storage import load_stretches

PANELS = 8  # most positions or agents in a plot, evenly spread
PANEL_POINTS = 60  # a longer curve is drawn as means over windows
OF_THE_STEP = {"kl": "KL of the agent's step (nats)", "total_variation": "total variation of the agent's step"}
AGENT_WORDS = {"entropy": "entropy (nats)", "step_kl": "KL of the accepted step (nats)"} | OF_THE_STEP
BY = {"position": " in the order of the update", "agent": ""}
AT_ONCE = ("entropy", "kl")  # the others are folded


def variance_section(comparison: Comparison) -> Section:
    """Raw and used advantage variance over training, a panel for each position."""
    blocks: list[Block] = []
    for task in comparison.tasks:
        for kind, name in VARIANCES.items():
            curves = {
                entry.label: entry.healthy[name]
                for entry in comparison.drawn(task)
                if name in entry.healthy and _any(entry, name)
            }
            if curves:
                blocks.append(_panels(name, f"advantage variance, {kind}", task, curves, comparison, "position"))
    if not blocks:
        blocks = [Text("These runs have no such metrics.")]
    return Section("variance", "Advantage variance", blocks)


def agent_section(comparison: Comparison) -> Section:
    """All metrics of single agents, a panel for each agent."""
    blocks: list[Block] = []
    for task in comparison.tasks:
        by_label = {entry.label: by_agent(entry.healthy) for entry in comparison.drawn(task)}
        names = dict.fromkeys(name for metrics in by_label.values() for name in metrics)
        ordered = sorted(names, key=lambda name: (name not in AT_ONCE, name))
        plots = {}
        for name in ordered:
            words = AGENT_WORDS.get(name, name.replace("_", " "))
            curves = {label: metrics[name] for label, metrics in by_label.items() if name in metrics}
            plots[name] = _panels(name, words, task, curves, comparison, "agent")
        blocks += [plots[name] for name in plots if name in AT_ONCE]
        rest = [plots[name] for name in plots if name not in AT_ONCE]
        if rest:
            blocks.append(Folded(f"{task}: {', '.join(name for name in plots if name not in AT_ONCE)}", rest))
    return Section("agents", "Agents", blocks or [Text("These runs have no metrics of single agents.")])


def by_agent(metrics: xr.Dataset) -> dict[str, xr.DataArray]:
    """The metrics of agents, and the metrics of positions that describe the step of the agent, sorted by agent."""
    of_agents = {
        str(name): values
        for name, values in metrics.items()
        if set(values.dims) == {"member", "iteration", "agent"} and values.notnull().any()
    }
    if "agent_order" in metrics:
        order = metrics["agent_order"].transpose("member", "iteration", "position").values
        for name in OF_THE_STEP:
            if name in metrics and metrics[name].notnull().any():
                values = metrics[name].transpose("member", "iteration", "position").rename(position="agent")
                moved = np.empty_like(values.values)
                np.put_along_axis(moved, order, values.values, axis=-1)
                of_agents[name] = values.copy(data=moved).assign_coords(agent=metrics["agent"].values)
    return of_agents


def failure_section(comparison: Comparison) -> Section:
    """Every member that became non-finite, with its iteration."""
    rows = []
    for entry in comparison.series:
        for seed, iteration in entry.failures.items():
            steps = entry.runs[0].config.static.steps_per_iteration * iteration
            rows.append([entry.task, entry.label, str(seed), str(iteration), short(steps)])
    blocks: list[Block] = [Text("Every member stayed finite.")]
    if rows:
        caption = "Members whose parameters became non-finite; each was frozen at its last finite state."
        blocks = [Table(["task", "run", "seed", "iteration", "environment steps"], rows, caption)]
    return Section("failures", "Failed members", blocks)


def time_section(comparison: Comparison) -> Section:
    """The duration and speed of each run."""
    runs: dict[Path, tuple[Run, list[Series]]] = {}
    for entry in comparison.series:
        for run in entry.runs:
            runs.setdefault(run.path, (run, []))[1].append(entry)
    rows = [_timing(*pair) for pair in runs.values()]
    caption = (
        "Time of the device calls, with evaluation and without compilation; environment steps of all members together."
    )
    columns = ["run", "task", "members", "devices", "iterations", "time", "steps/s"]
    return Section("time", "Time", [Table(columns, rows, caption)])


def _timing(run: Run, series: Sequence[Series]) -> list[str]:
    """The row of a run; the points of its grid are separate series but train together."""
    stretches, members = load_stretches(run.directory), len(run.config.members)
    seconds = sum(stretch.seconds for stretch in stretches)
    iterations = sum(stretch.last - stretch.first + 1 for stretch in stretches)
    label = series[0].label if len(series) == 1 else f"{len(series)} points of {run.directory.name}"
    first = [label, series[0].task, str(members)]
    if not seconds:
        return [*first, "–", str(run.iteration), "not recorded", "–"]
    devices = ", ".join(dict.fromkeys(stretch.devices for stretch in stretches))
    of = "" if iterations == run.iteration else f" of {run.iteration}"
    rate = short(iterations * run.config.static.steps_per_iteration * members / seconds)
    return [*first, devices, f"{iterations}{of}", str(timedelta(seconds=round(seconds))), rate]


def _any(series: Series, name: str) -> bool:
    return bool(series.healthy[name].notnull().any())


def _panels(
    name: str, words: str, task: str, curves: Mapping[str, xr.DataArray], comparison: Comparison, panels: str
) -> Picture:
    """A panel for each position or agent; the axis is logarithmic if the values span more than a factor of thirty."""
    count = next(iter(curves.values())).sizes[panels]
    chosen = np.unique(np.linspace(0, count - 1, min(count, PANELS)).round().astype(int))
    drawn = {
        label: thinned(curve.astype(float).isel({panels: chosen}), PANEL_POINTS).transpose(
            "member", "iteration", panels
        )
        for label, curve in curves.items()
    }
    least, most = (_extreme(drawn, of) for of in (np.nanmin, np.nanmax))
    figure = position_curves(
        drawn, ylabel=words, title=task, log=0 < least < most / 30, lines=comparison.lines, panels=panels
    )
    shown = "" if len(chosen) == count else f" {len(chosen)} of the {count} {panels}s are shown."
    window = max(round(curve.sizes["iteration"] / drawn[label].sizes["iteration"]) for label, curve in curves.items())
    means = f", means over {window} iterations" if window > 1 else ""
    what = f"{words[0].upper()}{words[1:]} on {task}, a panel for each {panels}{BY[panels]}"
    return Picture(
        f"{name}-{file_name(task)}",
        svg(figure),
        f"{what}, against environment steps.{shown} Values range from {least:.3g} to {most:.3g}.",
        f"{what}: IQM over seeds with its 95 % bootstrap interval{means}.{shown}",
    )


def _extreme(curves: Mapping[str, xr.DataArray], of: Callable[..., float]) -> float:
    return float(of([of(curve.values) for curve in curves.values()]))
