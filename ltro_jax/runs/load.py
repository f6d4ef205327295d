"""Open a finished, stopped or running run."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import jax
import numpy as np
import xarray as xr

from ltro_jax.config import Config
from ltro_jax.parallel import make_member_program, stack_members
from ltro_jax.runs.compilation_cache import use_compilation_cache
from ltro_jax.storage import MetricStore, Restored, RunDirectory, RunError, list_checkpoints, restore_checkpoint
from ltro_jax.training import Train, make_train
from ltro_jax.training.evaluation import KINDS
from ltro_jax.types import Best, RunnerState

EPISODES_AT_ONCE = 1000  # of each kind and member; more are evaluated in several passes
OLDEST_CHECKPOINTS = 3  # the format of runs since whose state is as it is now
NEVER_AN_ITERATION = 2**31 - 1  # training folds the iteration into its keys


@dataclass(frozen=True)
class Run:
    """A run on disk.

    `run.metrics` is a labelled dataset with dimensions member, iteration, agent and position.
    """

    directory: RunDirectory
    config: Config

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.directory.path

    @cached_property
    def metrics(self) -> xr.Dataset:
        """All metrics stored so far."""
        return MetricStore(self.directory.metrics).load()

    @property
    def iteration(self) -> int:
        """Iterations stored so far."""
        return MetricStore(self.directory.metrics).last_iteration()

    @property
    def finished(self) -> bool:
        """Whether it has reached `total_env_steps` and saved its last state."""
        return self.config.num_iterations in list_checkpoints(self.directory.checkpoints)

    def restore(self, iteration: int | None = None) -> Restored:
        """The `RunnerState` of all members, leaves `[S, …]`, at the newest or a given checkpoint."""
        template = state_template(self.directory, self.config, make_train(self.config))
        return restore_checkpoint(self.directory.checkpoints, template, iteration)

    def evaluate(self, num_episodes: int = 100, *, best: bool = False, kinds: tuple[str, ...] = KINDS) -> xr.Dataset:
        """Mean return and length over whole episodes of each member's newest actors, greedy and sampled.

        The episodes are none of those seen during training, by which the best actors were chosen.

        Args:
            num_episodes: of each kind.
            best: the actors that did best in an evaluation during training, instead of the newest. With ten times
                `eval_episodes` that is the absolute metric of Gorsane et al. 2022.
            kinds: how the actors act, of "greedy" and "sampled".
        Returns:
            Variables along `member`. `frozen_at` is the iteration at which a member became non-finite and was frozen,
            -1 for the healthy; with `best`, `best_iteration` is that of its best actors, and 0 (all else NaN) where it
            was frozen before any evaluation.
        Raises:
            RunError: no usable checkpoint, or none with best actors.
        """
        use_compilation_cache()
        restored = self.restore()
        program, everyone = make_train(self.config), self.config.members
        state: RunnerState = restored.state
        if best:
            state = state.replace(agents=state.agents.replace(params=self.best_of(state).params))
        members = make_member_program(program, len(everyone))
        _, hypers = members.place(stack_members(everyone))
        sizes = [min(EPISODES_AT_ONCE, num_episodes - done) for done in range(0, num_episodes, EPISODES_AT_ONCE)]
        passes, fold = [], jax.vmap(jax.random.fold_in, (0, None))
        keys = fold(state.eval_key, NEVER_AN_ITERATION)
        for index, size in enumerate(sizes):
            states = members.place(state.replace(eval_key=fold(keys, index)))
            passes.append(jax.device_get(members.collect(members.evaluate(states, hypers, size, kinds))))
        results = {name: np.average([rows[name] for rows in passes], 0, sizes).astype(np.float32) for name in passes[0]}
        if best:
            found = np.asarray(self.best_of(state).iteration)
            results = {name: np.where(found > 0, values, np.nan) for name, values in results.items()}
            results["best_iteration"] = found
        results["frozen_at"] = np.asarray(state.failed_at)
        coordinates = {"seed": ("member", [member.seed for member in everyone])}
        for name, _ in self.config.run.grid:
            coordinates[name] = ("member", [getattr(member.hypers, name) for member in everyone])
        attributes = {
            "actors": "best" if best else "newest",
            "episodes": num_episodes,
            "iteration": restored.iteration,
            "team_reward": program.parts.spec.team_reward_words,
        }
        return xr.Dataset({name: ("member", value) for name, value in results.items()}, coordinates, attributes)

    def best_of(self, state: RunnerState) -> Best:
        """Each member's best actors, `[S, …]`, in a restored state; zeros where their iteration is 0.

        Raises:
            RunError: the run keeps none.
        """
        if state.best is None:
            raise RunError(f"{self.path} keeps no best policies (eval_episodes = 0); leave out best")
        return state.best

    def member(self, seed: int, point: Mapping[str, float] | None = None) -> int:
        """Index of the member with this seed, and where the run has a grid with these values of its hyper-parameters.

        Raises:
            RunError: no such seed or point; it names those that there are.
        """
        run, points = self.config.run, self.config.points
        if seed not in run.seeds:
            raise RunError(f"seed {seed} is not in {self.path}; it has the seeds {', '.join(map(str, run.seeds))}")
        chosen = points[0] if point is None and len(points) == 1 else dict(point or {})
        if chosen not in points:
            known = "; ".join(map(point_label, points)) if run.grid else "it has none"
            raise RunError(f"point = {point_label(chosen) or None} is not one of the grid of {self.path}: {known}")
        return points.index(chosen) * len(run.seeds) + run.seeds.index(seed)

    def by_point(self) -> dict[str, xr.Dataset]:
        """The metrics of each point of the grid by its words, `actor_lr=0.0003`; without a grid all under `""`."""
        return {point_label(point): self.metrics.isel(member=members) for point, members in point_members(self.config)}


def point_members(config: Config) -> Iterator[tuple[dict[str, float], slice]]:
    """The points of the grid, one empty without a grid, each with its members."""
    count = len(config.run.seeds)
    for index, point in enumerate(config.points):
        yield point, slice(index * count, (index + 1) * count)


def default_metric(names: Collection[str]) -> str:
    """What is shown of runs with these metrics unless something else is asked for."""
    return "eval_return_greedy" if "eval_return_greedy" in names else "episode_return"


def metric_words(metric: str, team_reward: str) -> str:
    """A metric for an axis; of a return also how the agents' rewards were put together."""
    words = re.sub(r"^eval_(.+)_(greedy|sampled)$", r"\2_evaluation_\1", metric).replace("_", " ")
    return f"{words} ({team_reward} over agents)" if "return" in metric and team_reward != "shared" else words


def state_template(directory: RunDirectory, config: Config, program: Train) -> RunnerState:
    """Shapes and dtypes of the state of all members of a run, `[S, …]`.

    Raises:
        RunError: an older ltro_jax, whose training state had another form, wrote the run.
    """
    written = directory.environment["format_version"]
    if written < OLDEST_CHECKPOINTS:
        raise RunError(
            f"{directory.path} has checkpoints of an older ltro_jax (format {written}; this one reads format "
            f"{OLDEST_CHECKPOINTS}): use the version that wrote it or train again; its metrics can be read as they are"
        )
    return jax.eval_shape(jax.vmap(program.init), *stack_members(config.members))


def point_label(point: Mapping[str, float]) -> str:
    """`{"actor_lr": 3e-4}` → `actor_lr=0.0003`."""
    return " ".join(f"{name}={value:g}" for name, value in point.items())


def load_run(path: str | Path) -> Run:
    """Open the run at `path`.

    Raises:
        RunError: not a run, damaged, or of a newer format.
    """
    directory = RunDirectory.open(path)
    return Run(directory, Config.from_dict(directory.settings))
