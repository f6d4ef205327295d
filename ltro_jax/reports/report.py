"""One page about one or many runs: settings, results and their uncertainty."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ltro_jax.config import SettingsError
from ltro_jax.config.coercion import setting_text
from ltro_jax.presets import usual_settings
from ltro_jax.process.files import write_atomically
from ltro_jax.reports.comparison import Comparison, interval_text, notes, number, share
from ltro_jax.reports.estimates import aggregates
from ltro_jax.reports.page import (
    Block,
    Code,
    Folded,
    Note,
    Page,
    Section,
    Table,
    Text,
    html_page,
    markdown_page,
    pictures,
)
from ltro_jax.reports.scores import (
    efficiency_section,
    improvement_section,
    learning_section,
    profile_section,
    score_section,
)
from ltro_jax.reports.series import Series, chosen_metric, differing, gather, not_started
from ltro_jax.reports.training import agent_section, failure_section, time_section, variance_section
from ltro_jax.runs.progress import short
from ltro_jax.runs.sweep import open_runs
from ltro_jax.storage.errors import disk_errors

REPORT_FILE = "report.html"
OTHER_DOCUMENTS = (".htm", ".md", ".markdown", ".pdf", ".txt", ".docx", ".tex")
NAMED = 4  # runs that the summary names


def report(
    paths: Iterable[str | Path] | str | Path,
    out: str | Path | None = None,
    *,
    metric: str | None = None,
    title: str | None = None,
) -> Path:
    """Write a report on runs, finished or not, as a self-contained HTML page and as Markdown.

    Args:
        paths: directories of runs or sweeps; runs that differ only in their seeds form one series.
        out: the HTML file, or a directory for `report.html`; None = the directory of the run or sweep, or the working
            directory for several. `x.html` comes with `x.md` and its plots in `x_figures/`; existing files are
            replaced.
        metric: the metric to compare, higher is better; None = the greedy evaluation if all runs have it, else the
            return of the training episodes.
        title: None = the algorithms and tasks.
    Returns:
        The HTML file.
    Raises:
        SettingsError: the metric is unknown or missing in a run, or `out` is neither an HTML file nor a directory.
        RunError: a path is not a run, a run is damaged or has no value yet, or the report cannot be written.
    """
    paths = [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]
    file = _place(paths, out)
    series = gather(open_runs(paths, with_metrics=True))
    comparison = Comparison(series, chosen_metric(series, metric))
    page = _page(comparison, [*notes(comparison), *_gaps(not_started(paths))], title)
    plots = file.with_name(f"{file.stem}_figures")
    with disk_errors(f"cannot write {file}", "choose another place with --out"):
        plots.mkdir(parents=True, exist_ok=True)
        for picture in pictures(page):
            write_atomically(plots / f"{picture.name}.svg", picture.svg)
        write_atomically(file.with_suffix(".md"), markdown_page(page, plots.name).encode())
        write_atomically(file, html_page(page).encode())
    return file


def _place(paths: Sequence[Path], out: str | Path | None) -> Path:
    if out is None:
        return (paths[0] if len(paths) == 1 else Path()) / REPORT_FILE
    out = Path(out)
    if out.suffix == ".html":
        return out
    if out.suffix.lower() in OTHER_DOCUMENTS:
        raise SettingsError(f"out = {out} is not an HTML file; name an HTML file or a directory")
    return out / REPORT_FILE


def _gaps(parts: Sequence[str]) -> list[str]:
    return [f"Parts of a sweep that have not started: {', '.join(parts)}."] if parts else []


def _page(comparison: Comparison, warnings: Sequence[str], title: str | None) -> Page:
    algorithms = _enumerated(dict.fromkeys(entry.algorithm for entry in comparison.series))
    tasks = _enumerated(dict.fromkeys(entry.task for entry in comparison.series))
    sections = [
        _runs_section(comparison.series, warnings),
        learning_section(comparison),
        score_section(comparison),
        profile_section(comparison),
        improvement_section(comparison),
        efficiency_section(comparison),
        variance_section(comparison),
        agent_section(comparison),
        failure_section(comparison),
        time_section(comparison),
    ]
    return Page(title or f"{algorithms} on {tasks}", _summary(comparison), sections)


def _summary(comparison: Comparison) -> str:
    """The final scores in one line, the best first."""
    one_task = len(comparison.tasks) == 1
    scores = comparison.scores if one_task else comparison.complete
    ranked = [label for label in comparison.ranked if label in scores]
    ranking = [
        f"{label} {interval_text(aggregates(list(scores[label].values())).iqm, number if one_task else share)}"
        for label in ranked[:NAMED]
    ]
    rest = f", and {len(ranked) - NAMED} more" if len(ranked) > NAMED else ""
    words = comparison.words
    if not one_task:
        words += f", scaled to 0 … 1 on each of {len(comparison.tasks)} tasks"
    counts = sorted({entry.healthy.sizes["member"] for entry in comparison.scored})
    seeds = " to ".join(map(str, dict.fromkeys((counts[0], counts[-1])))) + (" seed" if counts == [1] else " seeds")
    return f"Final {words}; IQM over {seeds}: {'; '.join(ranking) or 'no run has every task'}{rest}."


def _runs_section(series: Sequence[Series], warnings: Sequence[str]) -> Section:
    """Warnings, the runs and their commands, settings and versions."""
    rows = []
    for entry in series:
        steps = " of ".join(dict.fromkeys(map(short, entry.done)))
        for run in entry.runs:
            started = run.directory.environment["started"][:16].replace("T", " ")
            rows.append([entry.label, entry.task, _seeds(run.config.run.seeds), steps, started, str(run.path)])
    columns = ["run", "task", "seeds", "steps", "started (UTC)", "directory"]
    blocks: list[Block] = [*map(Note, warnings), Table(columns, rows, "Steps are of each member.")]
    commands = list(dict.fromkeys(run.directory.environment["command"] for entry in series for run in entry.runs))
    typed = [command for command in commands if command]
    if typed:
        blocks.append(Code("\n".join(typed)))
    if len(typed) < len(commands):
        which = "Other runs were" if typed else "The runs were"
        blocks.append(Text(f"{which} started from Python, without a command."))
    common = [name for name in series[0].settings if name not in differing(series, series[0].settings)]
    rows = [[name, setting_text(series[0].settings[name])] for name in common]
    everything = Table(
        ["setting", "value"], rows, "Settings that are the same for all runs; the table above lists the seeds."
    )
    blocks += [_settings(series), _versions(series), Folded("All other settings", [everything])]
    return Section("runs", "Runs and settings", blocks)


def _settings(series: Sequence[Series]) -> Block:
    """The settings that differ between the series; for a single series, from its preset."""
    names = list(
        dict.fromkeys(name for entry in series for name in entry.settings if name not in ("task", "algorithm"))
    )
    if len(series) > 1:
        telling = differing(series, names)
        if not telling:
            return Text("The settings of the runs are the same.")
        rows = [
            [entry.label, entry.task, *(setting_text(entry.settings.get(name)) for name in telling)] for entry in series
        ]
        return _narrow(["run", "task", *telling], rows, "Settings that differ between the runs.")
    here = series[0].settings
    usual = usual_settings(here["task"], here["algorithm"])[0].to_dict() | {"num_agents": here.get("num_agents")}
    pairs = [(name, here[name], usual.get(name)) for name in names]
    rows = [[name, setting_text(value), setting_text(preset)] for name, value, preset in pairs if value != preset]
    if not rows:
        return Text("The settings are those of the preset, or the defaults if there is no preset.")
    return Table(
        ["setting", "here", "preset"],
        rows,
        "Settings that differ from the preset, or from the defaults if there is no preset.",
    )


def _versions(series: Sequence[Series]) -> Block:
    """Versions and devices of the runs: a line if they are the same, else a table."""
    by_version: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for entry in series:
        for run in entry.runs:
            by_version.setdefault(tuple(_environment(run.directory.environment).items()), []).append(entry.label)
    if len(by_version) == 1:
        return Text(f"Started with {', '.join(f'{name} {version}' for name, version in next(iter(by_version)))}.")
    columns = list(dict.fromkeys(name for row in by_version for name, _ in row))
    rows = [
        [", ".join(dict.fromkeys(labels)), *(dict(row).get(name, "–") for name in columns)]
        for row, labels in by_version.items()
    ]
    return _narrow(["run", *columns], rows, "Versions and devices at the start of the runs.")


def _environment(environment: dict[str, Any]) -> dict[str, str]:
    devices = environment["devices"]
    packages = {name: str(version or "–") for name, version in environment["packages"].items()}
    return packages | {
        "python": environment["python"],
        "devices": f"{devices['count']} × {devices['kind']} ({environment['platform']})",
    }


def _narrow(columns: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> Table:
    """A table, transposed if that makes it narrower."""
    if len(columns) <= len(rows) + 1:
        return Table(columns, rows, caption)
    turned = list(zip(columns, *rows, strict=True))
    return Table(turned[0], turned[1:], caption)


def _seeds(seeds: Sequence[int]) -> str:
    """`0:10` for consecutive seeds, as on the command line."""
    if len(seeds) > 1 and list(seeds) == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]}:{seeds[-1] + 1}"
    return ",".join(map(str, seeds))


def _enumerated(words: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
