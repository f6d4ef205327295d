"""The host loop: device calls, and between them metrics, checkpoints, progress and a clean Ctrl-C."""

import shlex
import time
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from ltro_jax.algorithms import UpdateRule, stands_for, with_rule
from ltro_jax.analysis.results import file_name
from ltro_jax.config import Config
from ltro_jax.parallel import MemberProgram, compile_together, make_member_program, member_layout, stack_members
from ltro_jax.process.interrupts import interruptible, when_ended
from ltro_jax.runs.checks import checked_program
from ltro_jax.runs.compilation_cache import use_compilation_cache
from ltro_jax.runs.dataset import metrics_dataset
from ltro_jax.runs.endless import EndlessWatch
from ltro_jax.runs.load import Run, load_run, state_template
from ltro_jax.runs.memory import Compiled, compile_fitting, half_after, program_memory
from ltro_jax.runs.metrics_file import METRICS_FILE, remove_metrics_file, store_rows, too_large, write_metrics_file
from ltro_jax.runs.progress import PROGRESS_FILE, Mode, Progress
from ltro_jax.runs.sentences import frozen_members, headline
from ltro_jax.runs.trackers import Trackers, require_trackers
from ltro_jax.storage import (
    MetricStore,
    RunDirectory,
    RunError,
    Stretch,
    claim_directory,
    has_checkpoints,
    list_checkpoints,
    record_stretch,
    restore_checkpoint,
    save_checkpoint,
    truncate_checkpoints,
)
from ltro_jax.storage.errors import one_line
from ltro_jax.storage.run_directory import nothing_saved
from ltro_jax.training import Train, make_train
from ltro_jax.types import RunnerState


def train(
    config: Config,
    out: str | Path | None = None,
    *,
    rule: type[UpdateRule] | None = None,
    progress: Mode = True,
    command: str | None = None,
) -> Run:
    """Train all members of `config` to the end or until Ctrl-C.

    Args:
        out: new run directory; None creates `runs/<task>-<algorithm>-<time>`.
        rule: your update rule, which replaces `config.static.algorithm` and is stored as `module:class`; its defaults
            apply to settings that you do not give.
        progress: show progress: True as a bar or text, "json" as JSON lines, False not at all.
        command: the command line, stored with the run.
    Returns:
        The run; `run.finished` tells whether it reached `total_env_steps`.
    Raises:
        SettingsError: settings contradict each other; nothing is written.
        RunError: the directory exists or cannot be written.
    """
    require_trackers(config.run.tracker)
    config = with_rule(config, rule)
    program = checked_program(config)  # rejects bad settings before the directory exists
    if out is None:
        out = claim_directory(file_name(f"{config.static.task} {config.static.algorithm}"))
    directory = RunDirectory.create(out, config.to_dict(), command)
    with directory.lock():
        if Config.of_run(directory.settings) != config:
            raise RunError(f"another process has started a run in {directory.path}; choose another --out")
        Session(directory, config, program, progress).to_the_end()
    return load_run(directory.path)


def resume(
    path: str | Path,
    *,
    rule: type[UpdateRule] | None = None,
    progress: Mode = True,
    tracker: Sequence[str] | None = None,
) -> Run:
    """Resume a run from its newest intact checkpoint; on the CPU the result is bitwise that of an uninterrupted run.

    Args:
        rule: as in `load_run`.
        progress: as in `train`.
        tracker: trackers that replace those of the settings; () = none.
    Raises:
        SettingsError: the update rule of the run or a tracker is unknown or not installed.
        RunError: the run does not exist, has no intact checkpoint, or another process is writing to it.
    """
    directory = RunDirectory.open(path)
    config = Config.of_run(directory.settings)
    stands_for(config.static.algorithm, rule)
    if tracker is not None:
        config = config.replace(tracker=tracker)
    require_trackers(config.run.tracker)
    with directory.lock():
        Session(directory, config, make_train(config), progress).to_the_end()
    return load_run(directory.path)


def train_or_resume(config: Config, path: str | Path, *, progress: Mode = True, command: str | None = None) -> Run:
    """The run of `config` at `path`: train it, resume it, or return it if it is finished.

    Raises:
        RunError: the directory holds a run with other settings.
    """
    if not (Path(path) / "settings.json").exists() or nothing_saved(Path(path)):
        return train(config, path, progress=progress, command=command)
    stored = load_run(path)
    if stored.config != config:
        raise RunError(f"{path} holds a run with other settings; move it away or choose another directory")
    if stored.finished:
        Progress(progress).say(f"{path} is finished: {stored.iteration} iterations")
        return stored
    return resume(path, progress=progress, tracker=config.run.tracker)


class Session:
    """The work of one process on one run."""

    def __init__(self, directory: RunDirectory, config: Config, program: Train, progress: Mode):
        use_compilation_cache()
        self.directory, self.config, self.program = directory, config, program
        self.spec = program.parts.spec
        self.metrics = MetricStore(directory.metrics)
        self.progress = Progress(
            progress,
            config.num_iterations,
            config.static.steps_per_iteration,
            len(config.members),
            directory.path / PROGRESS_FILE,
        )
        self.trackers = Trackers(directory, config, self._tracker_failed)
        self.template = state_template(directory, config, program)
        self.damaged: dict[int, str] = {}  # checkpoints newer than the checkpoint that the run resumed from
        self._lay_out(config.run.members_at_once)

    def _lay_out(self, at_once: int | None) -> None:
        """Build the program with `at_once` parallel members per device."""
        layout = member_layout(len(self.config.members), at_once=at_once)
        self.members: MemberProgram = make_member_program(self.program, len(self.config.members), layout)
        self.seeds, self.hypers = self.members.place(stack_members(self.config.members))

    def to_the_end(self) -> None:
        """Restore or initialise, then call the device until all iterations are done or Ctrl-C is pressed.

        If memory runs out, continue with half as many parallel members.
        """
        try:
            self._until_it_fits()
        finally:
            when_ended()
            self.progress.close()
            self.trackers.close(self.config.num_iterations in list_checkpoints(self.directory.checkpoints))

    def _until_it_fits(self) -> None:
        while True:
            try:
                return self._work()
            except jax.errors.JaxRuntimeError as error:
                at_once = self.members.layout.at_once
                fewer = half_after(
                    error, at_once, "reduce num_envs, rollout_length or hidden_sizes, or use more minibatches"
                )
            self.progress.say(f"out of memory with {at_once} members at once; continuing with {fewer}")
            self._lay_out(fewer)

    def _work(self) -> None:
        total, interval = self.config.num_iterations, self.config.static.eval_interval
        iteration, states = self._restore()
        when_ended(self._ended(iteration))
        self.trackers.start(self.metrics)
        if iteration >= total:
            write_metrics_file(self.directory, self.progress.warn)  # the process may have been killed just before it
            self.progress.say(f"{self.directory.path} is finished: {iteration} iterations")
            return
        self.progress.began(iteration)
        saved = iteration
        states, advance = self._compile(states)
        pending: list[xr.Dataset] = []
        busy, endless = 0.0, EndlessWatch(self.spec, self.config.static)
        with interruptible(self.progress.warn) as interrupted:
            while iteration < total:
                count = min(interval - iteration % interval, total - iteration)
                began = time.perf_counter()
                states, rows, evaluation = advance(states, self.hypers, jnp.int32(count))
                rows, evaluation = self.members.collect((rows, evaluation))
                seconds = time.perf_counter() - began
                pending.append(metrics_dataset(rows, evaluation, iteration + 1, count, self.config, self.spec))
                iteration += count
                busy += seconds
                self.progress.advanced(iteration, count, seconds, pending[-1])
                if (sentence := endless.after(pending[-1])) is not None:
                    self.progress.warn(sentence)
                every = self.config.run.checkpoint_interval
                due = iteration // every > (iteration - count) // every
                if due or iteration >= total or interrupted.is_set():
                    with self.progress.stage("saving"):
                        self._save(saved + 1, iteration, self.members.collect(states), pending, busy)
                    pending, busy, saved = [], 0.0, iteration
                elif too_large(pending):
                    self.trackers.log(store_rows(self.metrics, pending, replace=bool(self.damaged)))
                    pending = []
                if interrupted.is_set() and iteration < total:
                    self._stopped(iteration)
                    return
        self._done(self.members.collect(states.failed_at))

    def _done(self, failed_at: np.ndarray) -> None:
        """Write the metrics file and report; `failed_at` is the iteration at which each member was frozen, or -1."""
        write_metrics_file(self.directory, self.progress.warn)
        if sentence := frozen_members(self.config, failed_at):
            self.progress.say(sentence)
        self.progress.say(f"finished {self.config.num_iterations} iterations; the run is in {self.directory.path}")

    def _compile(self, states: RunnerState | None) -> tuple[RunnerState, jax.stages.Compiled]:
        """The initial states, in rows, and the compiled device call; `states` are `[S, …]`, None = new states."""
        started = time.perf_counter()
        with self.progress.stage("compiling"):
            advance, init = self._fitting_program(with_init=states is None)
            new = init(self.seeds, self.hypers) if init else self.members.place(states)
        at_once, num_members = self.members.layout.at_once, len(self.config.members)
        groups = f", {at_once} of {num_members} members at once" if 1 < at_once < num_members else ""
        self.progress.say(f"compiled in {time.perf_counter() - started:.1f} s on {_devices()}{groups}")
        return new, advance

    def _fitting_program(self, with_init: bool) -> tuple[jax.stages.Compiled, jax.stages.Compiled | None]:
        """Compile with as many parallel members as fit into device memory."""

        def build(at_once: int | None) -> Compiled:
            if at_once != self.members.layout.at_once:
                self._lay_out(at_once)
            states = jax.eval_shape(self.members.place, self.template)
            lowered = [self.members.advance.lower(states, self.hypers, jnp.int32(0))]
            lowered += [self.members.init.lower(self.seeds, self.hypers)] if with_init else []
            advance, *init = compile_together(*lowered)
            return Compiled(self.members.layout, program_memory(advance), (advance, init[0] if init else None))

        return compile_fitting(build, self.members.layout.at_once, self.progress.say).programs

    def _restore(self) -> tuple[int, RunnerState | None]:
        """The finished iterations and the newest intact state; None at the start of a run."""
        if not has_checkpoints(self.directory.checkpoints):
            if (self.directory.path / METRICS_FILE).exists() or self.metrics.last_iteration() > self._first_save:
                raise RunError(
                    f"{self.directory.path} holds {self.metrics.last_iteration()} iterations of metrics but no "
                    "checkpoint to resume from; restore its checkpoints/ from a copy or start a new run"
                )
            self.metrics.truncate(
                0
            )  # the process may have been killed between the first metrics and the first checkpoint
            self.progress.say(headline("training", self.config, self.spec))
            return 0, None
        restored = restore_checkpoint(
            self.directory.checkpoints, self.template, last_metrics=self.metrics.last_iteration()
        )
        for name in restored.unfinished:
            self.progress.say(f"{name} is incomplete; using the previous checkpoint")
        for sentence in restored.damage(self.directory.checkpoints):
            self.progress.warn(sentence)
        self.damaged = restored.damaged
        if not self.damaged:  # else newer data stays until something replaces it
            truncate_checkpoints(self.directory.checkpoints, restored.iteration)
            self.metrics.truncate(restored.iteration)
        self.progress.say(headline(f"resuming at iteration {restored.iteration}", self.config, self.spec))
        for sentence in self.directory.changes_since_start():
            self.progress.say(sentence)
        return restored.iteration, restored.state

    @property
    def _first_save(self) -> int:
        """Most iterations that a run stores before its first checkpoint."""
        return self.config.run.checkpoint_interval + self.config.static.eval_interval

    def _save(self, first: int, iteration: int, states: RunnerState, pending: list[xr.Dataset], seconds: float) -> None:
        """Store metrics first, so that a checkpoint always has its rows, and send to trackers last."""
        rows = store_rows(self.metrics, pending, replace=bool(self.damaged))
        record_stretch(self.directory, Stretch(first, iteration, seconds, _devices()))
        keep = self.config.run.keep_checkpoints
        save_checkpoint(self.directory.checkpoints, iteration, states, keep, self.damaged)
        self.damaged = {}
        remove_metrics_file(self.directory)
        when_ended(self._ended(iteration))
        self.trackers.log(rows)

    def _stopped(self, iteration: int) -> None:
        self.progress.say(f"stopped at iteration {iteration}, everything is saved; resume it with `{self._command}`")

    def _ended(self, saved: int) -> str:
        """The message if the process ends at once."""
        if saved == 0:
            return "stopped before anything was saved; the same command starts again"
        return f"stopped at once; iteration {saved} is saved, resume it with `{self._command}`"

    @property
    def _command(self) -> str:
        return f"ltro resume {shlex.quote(str(self.directory.path))}"

    def _tracker_failed(self, name: str, error: Exception) -> None:
        command = f"ltro track {shlex.quote(str(self.directory.path))} --tracker {name}"
        reason = str(error) if isinstance(error, RunError) else one_line(error)
        self.progress.warn(
            f"tracker {name} failed ({reason}) and receives no more rows; training continues; send the missing "
            f"rows with `{command}`"
        )


def _devices() -> str:
    devices = jax.local_devices()
    return f"{len(devices)} × {devices[0].device_kind}"
