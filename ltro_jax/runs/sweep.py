"""Sweeps: seeds × a grid of settings. Each combination of static settings is a run, all its members one program."""

import itertools
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PureWindowsPath
from typing import Any

import jax
import numpy as np
from jax._src import distributed  # the public interface has no barrier that leaves the devices alone

from ltro_jax.algorithms import UpdateRule, with_rule
from ltro_jax.analysis.results import file_name
from ltro_jax.config import Config, SettingsError, find_setting
from ltro_jax.config.coercion import coerce, setting_text
from ltro_jax.presets import with_own_preset
from ltro_jax.process.files import is_leftover
from ltro_jax.process.interrupts import forget_interrupt, was_interrupted
from ltro_jax.process.paths import run_path, typed_path
from ltro_jax.runs.checks import checked_program
from ltro_jax.runs.load import Run, load_run
from ltro_jax.runs.progress import Mode, Progress
from ltro_jax.runs.trackers import require_trackers
from ltro_jax.runs.train import train_or_resume
from ltro_jax.storage import RunError, claim_directory
from ltro_jax.storage.errors import disk_errors
from ltro_jax.storage.run_directory import FORMAT_VERSION, SWEEP_FILE, RunDirectory, check_format

_barriers = itertools.count()  # every process reaches the barriers in the same order


@dataclass(frozen=True)
class Sweep:
    """A sweep on disk: `sweep.json` and a run directory for each of its parts.

    A part is one combination of static settings with some of the seeds and all hyper-parameters of the grid.
    """

    path: Path
    configs: dict[str, Config]  # part → its settings, in the order of the queue

    @cached_property
    def runs(self) -> dict[str, Run]:
        """The parts that have started."""
        started = (name for name in self.configs if (self.path / name / "settings.json").exists())
        return {name: load_run(self.path / name) for name in started}

    @property
    def finished(self) -> bool:
        """Whether every part has reached `total_env_steps`."""
        return len(self.runs) == len(self.configs) and all(run.finished for run in self.runs.values())

    def _repr_html_(self) -> str:
        from ltro_jax.runs.cards import sweep_html

        return sweep_html(self)


Source = str | Path | Run | Sweep


def plan(config: Config, grid: Mapping[str, Sequence[Any]], num_processes: int = 1) -> dict[str, Config]:
    """The parts of a sweep: `part`, or `part/share`, → settings.

    Each combination of static settings is a part; the hyper-parameters of the grid are inside it, and its seeds are
    divided among the processes. If the grid has `task` or `algorithm`, each part uses the preset of that task and
    algorithm; given settings override it.

    Args:
        config: settings that all parts share.
        grid: setting → values; no settings of the host loop.
        num_processes: shares of the seeds, at most one for each seed.
    Raises:
        SettingsError: a setting is unknown or cannot be swept, or a value is invalid.
    """
    static: dict[str, list[Any]] = {}
    hypers: dict[str, list[Any]] = {}
    for name, values in grid.items():
        spec = find_setting(name, config.static.task)
        if spec is None or spec.group == "run":
            raise SettingsError(f"grid = {name}=… cannot be swept; choose a static setting or a hyper-parameter")
        values = list(values) if np.iterable(values) and not isinstance(values, str) else values
        if not isinstance(values, list) or not values:
            raise SettingsError(f"grid = {name}={values!r} is not a sequence of values; give at least one")
        if spec.group == "static":
            static[name] = [coerce(name, value, spec.type) for value in values]
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
    """Reject settings that do not give a program, or only one that exceeds the memory; compiles nothing.

    Raises:
        SettingsError: for the first such part.
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

    With several processes (`jax.distributed`), each trains its share of the parts on its local devices. All processes
    need the same file system, and none returns before all have ended.

    Args:
        config: settings that all parts share, the seeds among them.
        grid: setting → values, e.g. `{"actor_lr": [3e-4, 5e-4], "hidden_sizes": ["64,64", "128,128"]}`.
        out: directory of the sweep; None creates `runs/sweep-<time>`.
        rule, progress, command: as in `train`.
    Raises:
        SettingsError: invalid settings, before anything is written.
        RunError: the directory holds another sweep, or cannot be written.
    """
    if out is None and jax.process_count() > 1:
        raise SettingsError("several processes need the same directory: give --out")
    configs = plan(with_rule(config, rule), grid, jax.process_count())
    require_trackers(config.run.tracker)
    refuse_impossible(configs)
    path = claim_directory("sweep") if out is None else typed_path(out)
    _open(path, configs, command)
    return _work(Sweep(path, configs), progress, command)


def resume_sweep(path: str | Path, *, progress: Mode = True, tracker: Sequence[str] | None = None) -> Sweep:
    """Resume the unfinished parts of a sweep, on any number of devices and processes.

    Args:
        progress, tracker: as in `resume`.
    Raises:
        SettingsError: a tracker is unknown or not installed.
        RunError: there is no sweep at `path`, or one of its runs cannot be resumed.
    """
    stored = load_sweep(path)
    configs = stored.configs
    if tracker is not None:
        configs = {name: config.replace(tracker=tracker) for name, config in configs.items()}
    for config in configs.values():
        require_trackers(config.run.tracker)
    return _work(Sweep(stored.path, configs), progress, None)


def load_sweep(path: str | Path) -> Sweep:
    """Open the sweep at `path`.

    Raises:
        RunError: the path is missing or not a sweep, or the sweep is damaged or written by a newer ltro_jax.
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
    """Whether the name is `part` or `part/share` and stays inside the sweep on any system."""
    words = name.split("/")
    inside = all(word and set(word) != {"."} and "\\" not in word for word in words)
    return len(words) <= 2 and inside and name.isprintable() and not PureWindowsPath(name).drive


def is_sweep(path: str | Path) -> bool:
    """Whether there is a sweep at `path`."""
    return (run_path(path) / SWEEP_FILE).is_file()


def open_runs(sources: Iterable[Source], *, with_metrics: bool = False) -> list[Run]:
    """The given runs and the runs at the given paths, each once; a sweep stands for its parts that have started.

    Args:
        with_metrics: leave out the parts of a sweep that have no metrics yet.
    Raises:
        RunError: there is no source, a path has no run or sweep, no part of the sweeps has started, or with
            `with_metrics` a run or a sweep has no metrics.
    """
    runs: dict[Path, Run] = {}
    opened = [_opened(source) for source in sources]
    if not opened:
        raise RunError("no run is given; name at least one run directory")
    for source in opened:
        parts = [source] if isinstance(source, Run) else source.runs.values()
        chosen = [run for run in parts if run.iteration or not with_metrics]
        if with_metrics and not chosen:
            raise RunError(f"{source.path} has no iteration yet; train it with `ltro resume {source.path}`")
        runs |= {run.directory.path.resolve(): run for run in chosen}
    if not runs:
        names = ", ".join(str(source.path) for source in opened)
        raise RunError(f"no part of {names} has started; wait, or start it with `ltro resume`")
    return list(runs.values())


def _opened(source: Source) -> Run | Sweep:
    if isinstance(source, Run | Sweep):
        return source
    return load_sweep(source) if is_sweep(source) else load_run(source)


def _open(path: Path, configs: dict[str, Config], command: str | None) -> None:
    """Process 0 creates the sweep at `path` if nothing is there; the others wait."""
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
        wait_for_all("the sweep is there")  # also after an error, which the other processes then raise too
    if load_sweep(path).configs != configs:
        raise RunError(f"{path} holds a sweep with other settings or shares; resume it, or choose another --out")


def _work(planned: Sweep, progress: Mode, command: str | None) -> Sweep:
    """Train the parts in sequence; with several processes, those of this process."""
    forget_interrupt()
    parts = list(planned.configs)[jax.process_index() :: jax.process_count()]
    for number, name in enumerate(parts, start=1):
        Progress(progress).say(f"[{number}/{len(parts)}] {name}")
        run = train_or_resume(planned.configs[name], planned.path / name, progress=progress, command=command)
        if not run.finished or was_interrupted():
            break
    wait_for_all("the sweep is done")
    return Sweep(planned.path, planned.configs)


def wait_for_all(what: str) -> None:
    """Wait until every process has reached this point; a single process does not wait.

    Processes report to each other through the coordinator's table. A collective of the devices would time out after
    half an hour on a CPU, and the shares of a sweep may differ by more. If a process dies, JAX ends the others.
    """
    count = jax.process_count()
    if count == 1:
        return
    client = distributed.global_state.client
    assert client is not None  # there are several processes
    place = f"ltro_jax/{next(_barriers)} {what}/"
    client.key_value_set(f"{place}{jax.process_index()}", "here")
    while len(client.key_value_dir_get(place)) < count:
        time.sleep(0.2)
