"""Open a finished, stopped or running run."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray as xr

from ltro_jax.algorithms import UpdateRule, stands_for
from ltro_jax.config import Config, SettingsError
from ltro_jax.config.coercion import number_text
from ltro_jax.parallel import stack_members
from ltro_jax.process.interrupts import STOPPED
from ltro_jax.runs.compilation_cache import use_compilation_cache
from ltro_jax.runs.evaluate_members import evaluate_members
from ltro_jax.storage import (
    MetricStore,
    Restored,
    RunDirectory,
    RunError,
    RunWarning,
    list_checkpoints,
    restore_checkpoint,
)
from ltro_jax.storage.lock import holder
from ltro_jax.training import Train, make_train
from ltro_jax.training.evaluation import KINDS
from ltro_jax.types import AgentState, Best, RunnerState

OLDEST_CHECKPOINTS = 4  # the format of runs since whose state is as it is now


@dataclass(frozen=True)
class Run:
    """A run on disk.

    `run.metrics` is a labelled dataset with dimensions member, iteration, agent and position. It can be pickled, and
    read from after a change of the working directory.
    """

    directory: RunDirectory = field(repr=False)  # by its absolute path
    config: Config
    path: Path  # as given

    def __getstate__(self) -> dict[str, Any]:
        """Without the metrics that have been read."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    @cached_property
    def metrics(self) -> xr.Dataset:
        """All metrics stored at the first access."""
        return MetricStore(self.directory.metrics).load()

    @property
    def iteration(self) -> int:
        """Iterations stored so far."""
        return MetricStore(self.directory.metrics).last_iteration()

    @property
    def finished(self) -> bool:
        """Whether the run has reached `total_env_steps` and saved its last state."""
        return self.config.num_iterations in list_checkpoints(self.directory.checkpoints)

    @property
    def state(self) -> str:
        """ "finished", "running" (a process holds the run) or "stopped"."""
        return "finished" if self.finished else "running" if holder(self.path) else "stopped"

    def _repr_html_(self) -> str:
        from ltro_jax.runs.cards import run_html

        return run_html(self)

    def restore(self, iteration: int | None = None) -> Restored:
        """The `RunnerState` of all members, leaves `[S, …]`, at a given or the newest intact checkpoint.

        Leaves are NumPy arrays, except typed keys. Warns (`RunWarning`) if a newer checkpoint is damaged.
        """
        return self._restore(self.template(), iteration)

    def restore_actors(
        self, iteration: int | None = None, *, best: bool = False, member: int | None = None
    ) -> Restored:
        """Like `restore`, but only what is needed to act and to evaluate.

        Args:
            best: return the best actors instead of the actors of the checkpoint.
            member: index of a single member to restore, without the axis S; None = all.
        Returns:
            A `RunnerState` with `agents.params`, `iteration`, `eval_key`, `failed_at` and, with `best`, `best`;
            every other field is None.
        Raises:
            RunError: as for `restore`, or the run has no best actors.
        """
        full = self.template()
        wanted: Any = jax.tree.map(lambda leaf: None, full, is_leaf=lambda node: node is not full)
        wanted = wanted.replace(iteration=full.iteration, eval_key=full.eval_key, failed_at=full.failed_at)
        if best:
            wanted = wanted.replace(best=self.best_of(full), agents=AgentState(None, None))
        else:
            wanted = wanted.replace(agents=AgentState(full.agents.params, None))
        restored = self._restore(wanted, iteration, whole=False, row=member)
        if not best:
            return restored
        state = restored.state
        return restored._replace(state=state.replace(agents=AgentState(state.best.params, None)))

    def _restore(self, template: RunnerState, iteration: int | None, **choice: Any) -> Restored:
        restored = restore_checkpoint(self.directory.checkpoints, template, iteration, **choice)
        for sentence in restored.damage(self.directory.checkpoints):
            warnings.warn(sentence, RunWarning, stacklevel=3)
        return restored

    def template(self) -> RunnerState:
        """Shapes and dtypes of the state of all members, `[S, …]`."""
        return state_template(self.directory, self.config, make_train(self.config))

    def evaluate(
        self,
        num_episodes: int = 100,
        *,
        best: bool = False,
        kinds: Sequence[str] = KINDS,
        members: Sequence[int] | None = None,
        iteration: int | None = None,
    ) -> xr.Dataset:
        """Mean return and length over whole episodes of each member's newest actors, greedy and sampled.

        The episodes are new: none of them occurs in training or in the selection of the best actors.

        Args:
            num_episodes: number of episodes of each kind.
            best: evaluate the actors with the best evaluation during training, not the newest. With ten times
                `eval_episodes`, this is the absolute metric of Gorsane et al. 2022.
            kinds: how the actors act: "greedy", "sampled" or both.
            members: indices of the members to evaluate, as from `run.member`; None = all.
            iteration: iteration of a stored checkpoint; None = the newest.
        Returns:
            Variables along `member`. `frozen_at` is the iteration at which a member became non-finite and was frozen,
            -1 if it is healthy. With `best`, `best_iteration` is the iteration of its best actors, or 0 (all else NaN)
            if it was frozen before any evaluation.
        Raises:
            SettingsError: the number of episodes, the kinds or the members are invalid.
            RunError: no checkpoint is usable or has best actors, or a single member does not fit on a device.
        """
        chosen = self._checked(num_episodes, kinds, members)
        use_compilation_cache()
        restored = self.restore_actors(iteration, best=best)
        program, everyone = make_train(self.config), [self.config.members[index] for index in chosen]
        state = jax.tree.map(lambda leaf: leaf[np.array(chosen)], restored.state)
        at_once = self.config.run.members_at_once
        results = evaluate_members(program, everyone, state, int(num_episodes), tuple(kinds), at_once)
        if best:
            best_iteration = state.best.iteration
            results = {name: np.where(best_iteration > 0, values, np.nan) for name, values in results.items()}
            results["best_iteration"] = best_iteration
        results["frozen_at"] = state.failed_at
        coordinates = {"seed": ("member", [member.seed for member in everyone])}
        for name, _ in self.config.run.grid:
            coordinates[name] = ("member", [getattr(member.hypers, name) for member in everyone])
        attributes = {
            "actors": "best" if best else "newest",
            "episodes": int(num_episodes),
            "iteration": restored.iteration,
            "team_reward": program.parts.spec.team_reward_words,
        }
        return xr.Dataset({name: ("member", value) for name, value in results.items()}, coordinates, attributes)

    def _checked(self, num_episodes: Any, kinds: Sequence[str], members: Sequence[int] | None) -> list[int]:
        """The members to evaluate. Raises `SettingsError`."""
        if isinstance(num_episodes, bool) or not isinstance(num_episodes, (int, np.integer)) or num_episodes < 1:
            raise SettingsError(
                f"num_episodes = {num_episodes!r} is not allowed; it must be a whole number, at least 1"
            )
        if isinstance(kinds, str) or not kinds or not set(kinds) <= set(KINDS):
            raise SettingsError(f"kinds = {kinds!r} is not allowed; give some of {KINDS}")
        count = len(self.config.members)
        chosen = list(range(count)) if members is None else [int(index) for index in members]
        if not chosen or not all(0 <= index < count for index in chosen):
            raise SettingsError(f"members = {chosen} is not allowed; give indices from 0 to {count - 1}")
        return chosen

    def best_of(self, state: RunnerState) -> Best:
        """The best actors of each member, `[S, …]`, from a state of this run; zeros if their iteration is 0.

        Raises:
            RunError: the run keeps no best actors.
        """
        if state.best is None:
            raise RunError(f"{self.path} keeps no best policies (eval_episodes = 0); leave out best")
        return state.best

    def member(self, seed: int, point: Mapping[str, float] | None = None) -> int:
        """Index of the member with this seed and, if the run has a grid, this point of the grid.

        Raises:
            RunError: the run has no such seed or point; the message lists the available ones.
        """
        run, points = self.config.run, self.config.points
        if seed not in run.seeds:
            raise RunError(f"seed {seed} is not in {self.path}; it has the seeds {', '.join(map(str, run.seeds))}")
        chosen = points[0] if point is None and len(points) == 1 else dict(point or {})
        numbers = [_in_float32(known) for known in points]
        if _in_float32(chosen) not in numbers:
            labels = "; ".join(map(point_label, points)) if run.grid else "it has none"
            raise RunError(f"point = {point_label(chosen) or None} is not one of the grid of {self.path}: {labels}")
        return numbers.index(_in_float32(chosen)) * len(run.seeds) + run.seeds.index(seed)

    def by_point(self) -> dict[str, xr.Dataset]:
        """The metrics of each point of the grid by its label, `actor_lr=0.0003`; without a grid, all under `""`."""
        return {point_label(point): self.metrics.isel(member=members) for point, members in point_members(self.config)}


def point_members(config: Config) -> Iterator[tuple[dict[str, float], slice]]:
    """Each point of the grid with its members; without a grid, one empty point."""
    count = len(config.run.seeds)
    for index, point in enumerate(config.points):
        yield point, slice(index * count, (index + 1) * count)


def state_template(directory: RunDirectory, config: Config, program: Train) -> RunnerState:
    """Shapes and dtypes of the state of all members of a run, `[S, …]`.

    Raises:
        RunError: an older ltro_jax with another form of the training state wrote the run.
    """
    written = directory.environment["format_version"]
    if written < OLDEST_CHECKPOINTS:
        raise RunError(
            f"{directory.path} has checkpoints of an older ltro_jax (format {written}; this one reads format "
            f"{OLDEST_CHECKPOINTS}): use the version that wrote it or train again; its metrics can be read as they are"
        )
    return jax.eval_shape(jax.vmap(program.init), *stack_members(config.members))


def _in_float32(point: Mapping[str, float]) -> dict[str, np.float32]:
    """A point with the values that the program uses, so that rounding in float64 does not matter."""
    return {name: np.float32(value) for name, value in point.items()}


def point_label(point: Mapping[str, float]) -> str:
    """`{"actor_lr": 3e-4}` → `actor_lr=0.0003`; every point of a grid has a unique text."""
    return " ".join(f"{name}={number_text(value)}" for name, value in point.items())


class Stopped(RunError):
    """A command that needs finished runs was stopped before their end."""

    exit_code = STOPPED

    def __init__(self, path: Path):
        super().__init__(f"stopped before the end; the same command resumes what is in {path}")


def load_run(path: str | Path, *, rule: type[UpdateRule] | None = None) -> Run:
    """Open the run at `path`; this imports no module that only the run names.

    Args:
        rule: the update rule of the run, if this process cannot import it because it was defined in a notebook. This
            process then uses it for all runs with this reference.
    Raises:
        RunError: the path is not a run, or the run is damaged or of a newer format.
        SettingsError: `rule` is not an update rule, or the run has an algorithm of the package.
    """
    directory = RunDirectory.open(path)
    config = Config.of_run(directory.settings)
    stands_for(config.static.algorithm, rule)
    return Run(RunDirectory(directory.path.absolute()), config, directory.path)
