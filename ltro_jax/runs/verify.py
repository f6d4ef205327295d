"""Check that a preset still reaches its recorded scores, and how far it is from published values."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ltro_jax.analysis.results import file_name
from ltro_jax.analysis.statistics import iqm, repetition_band
from ltro_jax.config import Config, SettingsError
from ltro_jax.presets import list_presets, load_preset
from ltro_jax.presets.bands import SUFFIX, Band, load_band
from ltro_jax.presets.published import Published, comparable_values
from ltro_jax.process.files import write_atomically
from ltro_jax.runs.load import Run, Stopped
from ltro_jax.runs.progress import Mode
from ltro_jax.runs.scoring import member_scores, scored_metric
from ltro_jax.runs.train import train_or_resume
from ltro_jax.storage import RunError
from ltro_jax.storage.errors import disk_errors

SHOWN = ("ltro_jax", "jax", "jaxlib", "flax", "jaxmarl", "brax")
COVERAGE = 0.99


class Verification(NamedTuple):
    """The result of a training compared with the recorded band and with published values."""

    band: Band
    run: Run
    iqm: float  # NaN if a member became non-finite
    equal_members: int  # members with the recorded score, to five digits
    differences: list[str]  # versions and devices that differ from the recorded ones, as text

    @property
    def passed(self) -> bool:
        """Whether the interquartile mean is within the band."""
        return bool(self.band.low <= self.iqm <= self.band.high)


class PublishedComparison(NamedTuple):
    """A finished run of a preset beside the published values of its task."""

    run: Run
    metric: str
    iqm: float  # of the members; NaN if a member became non-finite
    published: list[Published]  # of all algorithms

    def distance(self, published: Published) -> float:
        """Measured minus published, in the unit of both."""
        return self.iqm - published.value


def verify(
    task: str,
    algorithm: str = "clip_happo",
    out: str | Path | None = None,
    *,
    progress: Mode = True,
    command: str | None = None,
) -> Verification:
    """Train the preset with its recorded seeds and length and compare the result with its band.

    Args:
        out: run directory, resumed if it holds an unfinished run; None creates `runs/verify-<task>-<algorithm>`.
        progress, command: as in `train`.
    Raises:
        SettingsError: the preset has no band, or its extra is not installed.
        RunError: the training was stopped before the end, or the directory holds another run.
    """
    band = load_band(task, algorithm)
    config = load_preset(task, algorithm, **band.settings)
    return compare(band, _finished(config, out or _usual_path("verify", task, algorithm), progress, command))


def verify_published(
    task: str,
    algorithm: str = "clip_happo",
    out: str | Path | None = None,
    *,
    progress: Mode = True,
    command: str | None = None,
) -> PublishedComparison:
    """Train the preset in full, and compare with the published values of its task.

    Args:
        out: run directory, resumed if it holds an unfinished run; None makes `runs/published-<task>-<algorithm>`.
        progress, command: as in `train`.
    Raises:
        SettingsError: no value is published in the unit of this preset, or its extra is missing.
        RunError: stopped before the end, or the directory holds another run.
    """
    config = load_preset(task, algorithm)
    published = comparable_values(config.to_dict())
    if not published:
        known = dict.fromkeys(entry.preset for entry in list_presets() if _is_published(entry.preset, entry.algorithm))
        raise SettingsError(
            f"nothing is published in the unit of the returns of {task}; choose one of {', '.join(known)}"
        )
    run = _finished(config, out or _usual_path("published", task, algorithm), progress, command)
    metric = scored_metric(run.metrics)
    return PublishedComparison(run, metric, float(iqm(member_scores(run.metrics, metric))), published)


def _is_published(preset: str, algorithm: str) -> bool:
    return bool(comparable_values(load_preset(preset, algorithm).to_dict()))


def _usual_path(kind: str, task: str, algorithm: str) -> Path:
    return Path("runs") / file_name(f"{kind}-{task}-{algorithm}")


def _finished(config: Config, path: str | Path, progress: Mode, command: str | None) -> Run:
    """The run at `path`, trained to its end."""
    run = train_or_resume(config, Path(path), progress=progress, command=command)
    if not run.finished:
        raise Stopped(Path(path))
    return run


def compare(band: Band, run: Run) -> Verification:
    """Compare a finished run with the band."""
    scores = member_scores(run.metrics, band.metric)
    equal = int(np.isclose(scores, band.scores, rtol=1e-5, atol=0).sum())
    here = circumstances(run)
    differences = [
        f"{name} {here.get(name, '-')} instead of {recorded}"
        for name, recorded in band.recorded.items()
        if name != "date" and here.get(name, "-") != recorded
    ]
    return Verification(band, run, float(iqm(scores)), equal, differences)


def record(run: Run, settings: dict, metric: str, directory: Path) -> Path:
    """Write or replace the band of a finished run of a preset in `directory/<task>.bands.json`; return the file.

    Raises:
        RunError: a member became non-finite, or the file cannot be written.
    """
    scores = member_scores(run.metrics, metric)
    if not np.isfinite(scores).all():
        raise RunError(f"{run.path} has members that became non-finite; a band needs all of them")
    low, high = repetition_band(scores, COVERAGE)
    recorded = {"date": f"{datetime.now(UTC):%Y-%m-%d}", **circumstances(run)}
    rounded = [float(f"{score:.8g}") for score in scores]
    middle, low, high = (float(f"{x:.6g}") for x in (iqm(scores), low, high))
    band = Band(settings, metric, rounded, middle, low, high, recorded)
    static = run.config.static
    file = directory / f"{static.task}{SUFFIX}"
    known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    known[static.algorithm] = band._asdict()
    with disk_errors(f"cannot write {file}", "check the directory"):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, (json.dumps(dict(sorted(known.items())), indent=1) + "\n").encode())
    return file


def circumstances(run: Run) -> dict[str, str]:
    """Versions and device of a run."""
    environment = run.directory.environment
    packages = {name: version for name in SHOWN if (version := environment["packages"].get(name))}
    return {"python": environment["python"], "device": environment["devices"]["kind"], **packages}
