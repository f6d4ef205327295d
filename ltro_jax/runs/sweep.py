"""Sweeps: seeds × a grid of settings. A run for each combination of static settings, all its members in one program."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PureWindowsPath
from typing import Any

import jax
import numpy as np

from ltro_jax.algorithms import UpdateRule, with_rule
from ltro_jax.analysis.results import file_name
from ltro_jax.config import SETTINGS, Config, SettingsError
from ltro_jax.config.coercion import coerce, setting_text
from ltro_jax.parallel import wait_for_all
from ltro_jax.presets import with_own_preset
from ltro_jax.process.interrupts import forget_interrupt, was_interrupted
from ltro_jax.process.paths import run_path, typed_path
from ltro_jax.runs.checks import checked_program
from ltro_jax.runs.load import Run, load_run
from ltro_jax.runs.progress import Mode, Progress
from ltro_jax.runs.trackers import require_trackers
from ltro_jax.runs.train import train_or_resume
from ltro_jax.storage import RunError, claim_directory
from ltro_jax.storage.atomic import disk_errors, is_leftover
from ltro_jax.storage.run_directory import FORMAT_VERSION, SWEEP_FILE, RunDirectory, check_format


@dataclass(frozen=True)
class Sweep:
    """A sweep on disk: `sweep.json` and a run directory for each of its parts.

    A part is one combination of static settings with some of the seeds; the hyper-parameters of the grid are inside it.
    """

    path: Path
    configs: dict[str, Config]  # part → its settings, in the order of the queue

    @cached_property
    def runs(self) -> dict[str, Run]:
        """The parts that have been started."""
        started = (name for name in self.configs if (self.path / name / "settings.json").exists())
        return {name: load_run(self.path / name) for name in started}

    @property
    def finished(self) -> bool:
        """Whether every part has reached `total_env_steps`."""
        return len(self.runs) == len(self.configs) and all(run.finished for run in self.runs.values())


def plan(config: Config, grid: Mapping[str, Sequence[Any]], num_processes: int = 1) -> dict[str, Config]:
    """Part, or `part/share`, → settings: static settings apart, hyper-parameters together, seeds spread over processes.

    If the grid has `task` or `algorithm`, each part uses its own preset; given settings override it.

    Args:
        config: what all have in common.
        grid: setting → values; nothing of the run itself.
        num_processes: parts of the seeds, at most as many as there are seeds.
    Raises:
        SettingsError: a setting that is unknown or cannot be swept, or a value that is not allowed.
    """
    static: dict[str, list[Any]] = {}
    hypers: dict[str, list[Any]] = {}
    for name, values in grid.items():
        if name not in SETTINGS or SETTINGS[name].group == "run":
            raise SettingsError(f"grid = {name}=… cannot be swept; choose a static setting or a hyper-parameter")
        values = list(values) if np.iterable(values) and not isinstance(values, str) else values
        if not isinstance(values, list) or not values:
            raise SettingsError(f"grid = {name}={values!r} is not a sequence of values; give at least one")
        if SETTINGS[name].group == "static":
            static[name] = [coerce(name, value, SETTINGS[name].type) for value in values]
            if len(set(static[name])) < len(static[name]):
                words = ",".join(map(setting_text, static[name]))
                raise SettingsError(f"grid = {name}={words} repeats a value of a static setting; leave one out")
        else:
            hypers[name] = values
    shares = min(num_processes, len(config.run.seeds))
    configs = {}
    for values in itertools.product(*static.values()):
        chosen = dict(zip(static, values, strict=True))
        part = "-".join(file_name(f"{name}={setting_text(value)}") for name, value in chosen.items()) or "all"
        settings = with_own_preset(config, **chosen, grid=hypers)
        for share in range(shares):
            name = f"{part}/share={share + 1}of{shares}" if shares > 1 else part
            configs[name] = settings.replace(seeds=config.run.seeds[share::shares])
    return configs


def refuse_impossible(configs: Mapping[str, Config]) -> None:
    """Refuse settings that no program can be made of, or none that fits into memory; nothing is compiled.

    Raises:
        SettingsError: of the first such part.
    """
    for config in configs.values():
        checked_program(config)


def sweep(
    config: Config,
    grid: Mapping[str, Sequence[Any]],
    out: str | Path | None = None,
    *,
    rule: type[UpdateRule] | None = None,
    progress: Mode = True,
    command: str | None = None,
) -> Sweep:
    """Train all combinations of the grid's values with all seeds; runs that `out` already holds are resumed.

    With several processes (`jax.distributed`) each trains its share of the parts on its own devices; all see one file
    system, and none returns before all have ended.

    Args:
        config: what all have in common, seeds among it.
        grid: setting → values, e.g. `{"actor_lr": [3e-4, 5e-4], "hidden_sizes": ["64,64", "128,128"]}`.
        out: directory of the sweep; None makes `runs/sweep-<time>`.
        rule, progress, command: as in `train`.
    Raises:
        SettingsError: settings that cannot be, before anything is written.
        RunError: the directory holds another sweep, or cannot be written.
    """
    if out is None and jax.process_count() > 1:
        raise SettingsError("several processes need one place: give --out")
    configs = plan(with_rule(config, rule), grid, jax.process_count())
    require_trackers(config.run.tracker)
    refuse_impossible(configs)
    path = claim_directory("sweep") if out is None else typed_path(out)
    _open(path, configs, command)
    return _work(Sweep(path, configs), progress, command)


def resume_sweep(path: str | Path, *, progress: Mode = True, tracker: Sequence[str] | None = None) -> Sweep:
    """Go on with the parts of a sweep that are not finished, on any number of devices and processes.

    Args:
        progress, tracker: as in `resume`.
    Raises:
        SettingsError: a tracker that there is not, or that is not installed.
        RunError: no sweep there, or one of its runs cannot go on.
    """
    found = load_sweep(path)
    configs = found.configs
    if tracker is not None:
        configs = {name: config.replace(tracker=tracker) for name, config in configs.items()}
    for config in configs.values():
        require_trackers(config.run.tracker)
    return _work(Sweep(found.path, configs), progress, None)


def load_sweep(path: str | Path) -> Sweep:
    """Open the sweep at `path`.

    Raises:
        RunError: not there, not a sweep, damaged, or written by a newer ltro_jax.
    """
    path = run_path(path)
    if not (path / SWEEP_FILE).is_file():
        raise RunError(f"{path} is not a sweep: it has no {SWEEP_FILE}; check the path")
    content = RunDirectory(path).read_json(SWEEP_FILE)
    check_format(path / SWEEP_FILE, content)
    try:
        parts = {name: Config.of_run(settings) for name, settings in content["parts"].items()}
    except (KeyError, AttributeError, TypeError, SettingsError) as error:
        raise RunError(f"{path / SWEEP_FILE} is damaged ({error}); restore it from a copy") from error
    for name in parts:
        if not _is_part_name(name):
            raise RunError(
                f"{path / SWEEP_FILE} is damaged ({name!r} does not name a directory of the sweep); restore it from a "
                "copy"
            )
    return Sweep(path, parts)


def _is_part_name(name: str) -> bool:
    """Whether it is `part` or `part/share`, and leads to nowhere but below the sweep on any system."""
    words = name.split("/")
    inside = all(word and set(word) != {"."} and "\\" not in word for word in words)
    return len(words) <= 2 and inside and name.isprintable() and not PureWindowsPath(name).drive


def is_sweep(path: str | Path) -> bool:
    """Whether a sweep is there."""
    return (run_path(path) / SWEEP_FILE).is_file()


def open_all(paths: Sequence[str | Path]) -> list[Run]:
    """The runs at `paths`; a sweep stands for the parts of it that have been started.

    Raises:
        RunError: nothing of the kind is there, or a sweep has no part yet.
    """
    runs: list[Run] = []
    for path in paths:
        runs += load_sweep(path).runs.values() if is_sweep(path) else [load_run(path)]
    if not runs:
        raise RunError(f"no part of {', '.join(map(str, paths))} has been started; wait, or `ltro resume` it")
    return runs


def _open(path: Path, configs: dict[str, Config], command: str | None) -> None:
    """Process 0 makes the sweep at `path` if nothing is there, and the others wait for that."""
    try:
        if jax.process_index() == 0 and not is_sweep(path):
            with disk_errors(f"cannot create {path}", "choose another --out"):
                if path.exists() and not all(map(is_leftover, path.iterdir())):
                    raise RunError(f"{path} already exists; choose another --out")
                path.mkdir(parents=True, exist_ok=True)
            parts = {name: config.to_dict() for name, config in configs.items()}
            RunDirectory(path).write_json(
                SWEEP_FILE, {"format_version": FORMAT_VERSION, "command": command, "parts": parts}
            )
    finally:
        wait_for_all("the sweep is there")  # or cannot be, which the others see too
    if load_sweep(path).configs != configs:
        raise RunError(f"{path} holds a sweep with other settings or shares; resume it, or choose another --out")


def _work(found: Sweep, progress: Mode, command: str | None) -> Sweep:
    """Every part in turn; with several processes those that fall to this one."""
    forget_interrupt()
    own = list(found.configs)[jax.process_index() :: jax.process_count()]
    for number, name in enumerate(own, start=1):
        Progress(progress).say(f"[{number}/{len(own)}] {name}")
        run = train_or_resume(found.configs[name], found.path / name, progress=progress, command=command)
        if not run.finished or was_interrupted():
            break
    wait_for_all("the sweep is done")
    return Sweep(found.path, found.configs)
