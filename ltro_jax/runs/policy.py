"""Load trained policies and act with them."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from ltro_jax.algorithms import UpdateRule, stands_for
from ltro_jax.config import Config, Hypers
from ltro_jax.envs import Environment, EnvSpec
from ltro_jax.networks import apply_agents
from ltro_jax.runs.load import Run, load_run
from ltro_jax.storage import MetricStore, RunError
from ltro_jax.storage.exported_policy import is_exported, read_exported
from ltro_jax.training import make_train
from ltro_jax.training.evaluation import KINDS
from ltro_jax.training.parts import Parts
from ltro_jax.types import Array, Params


@dataclass(frozen=True)
class Policy:
    """The independent actors of one member; `act` is pure and may be jitted and vmapped. It can be pickled."""

    params: Params  # leaves [N, …]
    hypers: Hypers
    parts: Parts
    origin: Mapping[str, Any] = field(
        default_factory=dict, compare=False, repr=False
    )  # run, member, iteration, evaluation

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the settings; unpickling builds the networks and the environment again."""
        config = Config(static=self.parts.static, hypers=self.hypers)
        return _remade, (jax.device_get(self.params), config, self.parts.num_iterations, dict(self.origin))

    def __repr__(self) -> str:
        """Without the parameters, which fill pages."""
        return f"Policy({self.parts.static.algorithm} on {self.spec.name})"

    def _repr_html_(self) -> str:
        from ltro_jax.runs.cards import policy_html

        return policy_html(self)

    @property
    def spec(self) -> EnvSpec:
        """Names and sizes of the environment it was trained on."""
        return self.parts.spec

    @property
    def env(self) -> Environment:
        """The environment it was trained on."""
        return self.parts.env

    def initial_state(self, batch_shape: tuple[int, ...] = ()) -> Any:
        """Hidden state at the start of an episode; `()` when feed-forward."""
        return self.parts.actor.initial_hidden((*batch_shape, self.spec.num_agents))

    def act(
        self, observation: Array, state: Any, action_mask: Array | None = None, key: Array | None = None
    ) -> tuple[Array, Any]:
        """Actions of all agents.

        Args:
            observation: `[…, N, O]` float32, of each agent.
            state: from `initial_state` or from the last call.
            action_mask: `[…, N, A]` bool, True = available; None = all actions of each agent.
            key: typed key for sampling; None = greedy.
        Returns:
            `[…, N]` int32 or `[…, N, A]` float32, and the next state.
        Raises:
            ValueError: the observation has another number of agents or another size.
        """
        expected = (self.spec.num_agents, self.spec.observation_size)
        if observation.shape[-2:] != expected:
            raise ValueError(
                f"observation has shape {observation.shape}; its last two axes must be "
                f"{expected} (agents, observation) for {self.spec.name}"
            )
        every_action = np.arange(self.spec.action_size) < np.asarray(self.spec.action_sizes)[:, None]
        mask = every_action if action_mask is None else action_mask
        mask = jnp.broadcast_to(mask, (*observation.shape[:-1], self.spec.action_size))
        with jax.default_matmul_precision(self.parts.static.matmul_precision):
            distribution, state = apply_agents(
                self.parts.actor, self.params, observation, state, mask, self.parts.observation_mask, self.hypers
            )
        return (distribution.mode() if key is None else distribution.sample(key)), state


def _remade(params: Any, config: Config, num_iterations: int, origin: Mapping[str, Any]) -> Policy:
    parts = make_train(config).parts._replace(num_iterations=num_iterations)
    return Policy(jax.tree.map(jnp.asarray, params), config.hypers, parts, origin)


class Actors(NamedTuple):
    """The actors of one member of a run."""

    run: Run
    member: int  # index
    params: Params  # leaves [N, …]
    iteration: int  # after which the actors had these parameters


def load_actors(
    path: str | Path,
    seed: int | None = None,
    iteration: int | None = None,
    point: Mapping[str, float] | None = None,
    best: bool = False,
    rule: type[UpdateRule] | None = None,
) -> Actors:
    """The actors of one member of the run at `path`; arguments and errors as for `load_policy`."""
    run = load_run(path, rule=rule)
    member = run.member(run.config.run.seeds[0] if seed is None else seed, point)
    restored = run.restore_actors(iteration, best=best, member=member)
    at = int(restored.state.best.iteration) if best else restored.iteration
    if not at and best:
        who = run.config.describe(run.config.members[member])
        raise RunError(f"{who} of {path} was not evaluated before it was frozen; leave out best")
    return Actors(run, member, jax.tree.map(jnp.asarray, restored.state.agents.params), at)


def load_policy(
    path: str | Path,
    seed: int | None = None,
    iteration: int | None = None,
    point: Mapping[str, float] | None = None,
    best: bool = False,
    rule: type[UpdateRule] | None = None,
) -> Policy:
    """The policy of one seed of the run at `path`, or the policy that was exported there.

    Args:
        seed: None = the first seed of the run.
        iteration: iteration of a stored checkpoint; None = the newest.
        point: point of the grid of the run, e.g. `{"actor_lr": 3e-4}`; None if the run has no grid.
        best: load the actors with the highest greedy return in an evaluation up to that checkpoint, not the actors of
            the checkpoint.
        rule: as in `load_run`.
    Raises:
        RunError: the run, seed, point, checkpoint or best actors do not exist, or the export is damaged.
        SettingsError: the update rule may not be imported or is missing, or another version of ltro_jax wrote the
            export with settings that this version does not have.
    """
    if not is_exported(path):
        actors = load_actors(path, seed, iteration, point, best, rule)
        config = actors.run.config
        parts = make_train(config).parts
        return Policy(actors.params, config.members[actors.member].hypers, parts, _origin(actors, best))
    if best or not (seed is iteration is point is None):
        raise RunError(f"{path} is one exported policy; leave out seed, iteration, point and best")
    card, tensors = read_exported(path)
    config = Config.of_run(card["settings"])
    stands_for(config.static.algorithm, rule)
    parts = make_train(config).parts
    expected = jax.eval_shape(parts.actor.init, jax.random.key(0), config.hypers)["params"]
    _check_tensors(path, tensors, flatten_dict(expected, sep="."))
    params = {"params": unflatten_dict({name: jnp.asarray(tensor) for name, tensor in tensors.items()}, sep=".")}
    kept = card.get("origin", {})
    return Policy(params, config.hypers, parts, kept | {"member": f"seed {kept['seed']}"} if "seed" in kept else kept)


def _origin(actors: Actors, best: bool) -> dict[str, Any]:
    """The member and its evaluation during training; none of best actors, which that evaluation has chosen."""
    run, evaluation = actors.run, {}
    names = [f"eval_return_{kind}" for kind in KINDS]
    if not best and actors.iteration:
        with suppress(RunError):  # acting does not depend on the metrics
            rows = next(MetricStore(run.directory.metrics).stream(actors.iteration - 1, names))
            row = rows.isel(member=actors.member, iteration=0)
            evaluation = {name: float(row[name]) for name in names if name in row}
    who = run.config.describe(run.config.members[actors.member])
    return {"run": str(run.path), "member": who, "iteration": actors.iteration, "evaluation": evaluation}


def _check_tensors(path: str | Path, tensors: Mapping[str, np.ndarray], expected: Mapping[str, Any]) -> None:
    """Raise `RunError`, which names the first tensor that does not fit the settings."""
    for name in sorted(tensors.keys() | expected.keys()):
        actual, wanted = (
            f"{x[name].dtype}{list(x[name].shape)}" if name in x else "absent" for x in (tensors, expected)
        )
        if actual == wanted and not np.isfinite(tensors[name]).all():
            actual, wanted = "not finite everywhere", "finite"
        if actual != wanted:
            problem = f"{path} does not match its settings: {name} is {actual} and must be {wanted}"
            raise RunError(f"{problem}; export the policy again")
