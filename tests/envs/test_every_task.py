"""One checker for every environment: the Protocol's promises, whatever the task."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparing import assert_same_bits
from tasks import static_of, task_param

from ltro_jax.config import Static
from ltro_jax.config.specs import field_specs
from ltro_jax.envs import Environment, list_tasks, make_env

NUM_ENVS = 3
MOST_STEPS = 101  # of an episode played here; longer ones are cut
MPE = [task for task in list_tasks() if task.startswith("mpe/")]
LENGTHS = {"mabrax": 4, "mamujoco": 4}  # too short to fall
ANT, BACKENDS = "mabrax/ant_4x2", ("positional", "spring", "mjx")
CASES = [
    *[task_param(task, Static(task=task, episode_length=LENGTHS.get(task.split("/")[0]))) for task in list_tasks()],
    *[static_of(task, continuous_actions=False) for task in MPE],
    static_of("mpe/simple_spread", num_agents=2),
    static_of("mpe/simple_spread", num_agents=5, continuous_actions=False, episode_length=7),
    static_of("probe/unlike", num_agents=4, episode_length=3),
    static_of("probe/unlike", num_agents=3, agent_id=True),
    Static(task="mpe/simple_speaker_listener", agent_id=True),
    task_param("mabrax/humanoid_9_8", static_of("mabrax/humanoid_9_8", observation="joints", episode_length=4), True),
    *[task_param(ANT, static_of(ANT, backend=name, episode_length=4), slow=True) for name in BACKENDS],
]


def case_name(static: Static) -> str:
    specs = field_specs(type(static.options))
    words = [f"{name}={value}" for name, value in static.options.to_dict().items() if value != specs[name].default]
    words += ["short"] if static.episode_length is not None else []
    return "-".join([static.task, *words, *(["agent_id"] if static.agent_id else [])])


class Played(NamedTuple):
    """One episode of B environments."""

    first: Any  # [B] time step of the reset
    action: Any  # [T, B, N, …]
    outcome: Any  # [T, B] time steps


def random_action(env: Environment, key: jax.Array, mask: jax.Array) -> jax.Array:
    if env.spec.discrete:
        return jax.random.categorical(key, jnp.where(mask, 0.0, -jnp.inf)).astype(jnp.int32)
    return jax.random.uniform(key, mask.shape, minval=-0.5, maxval=1.5)


def play(env: Environment, reset: Any, step: Any, key: jax.Array) -> Played:
    """Random actions, one step more than an episode has."""
    reset_key, action_key, steps_key = jax.random.split(key, 3)
    first = jax.vmap(reset)(jax.random.split(reset_key, NUM_ENVS))
    num_steps = min(env.spec.episode_length + 1, MOST_STEPS)

    def all_envs(carry: Any, keys: Any) -> tuple[Any, Any]:
        env_state, timestep = carry
        action = random_action(env, keys[0], timestep.action_mask)
        carry = jax.vmap(step)(keys[1], env_state, action)
        return carry, (action, carry[1])

    keys = jax.random.split(action_key, num_steps), jax.random.split(steps_key, (num_steps, NUM_ENVS))
    _, (action, outcome) = jax.lax.scan(all_envs, first, keys)
    return Played(first[1], action, outcome)


def avals(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype, leaf.weak_type), tree)


def check_spec(env: Environment, static: Static) -> None:
    spec = env.spec
    assert spec.name == static.task and spec.team_reward == ("sum" if static.task.startswith("mpe/") else "shared")
    assert len(set(spec.agents)) == spec.num_agents == len(spec.observation_sizes) == len(spec.action_sizes)
    chosen = static.options.to_dict()
    assert chosen.get("num_agents") in (None, spec.num_agents)
    assert static.episode_length in (None, spec.episode_length)
    if chosen.get("continuous_actions") is not None:
        assert spec.discrete is not chosen["continuous_actions"]
    mask = spec.observation_mask
    assert (mask is None) == (len(set(spec.observation_sizes)) == 1)
    if mask is not None:
        assert mask.sum(-1).tolist() == list(spec.observation_sizes)


def check_types(env: Environment, reset: Any, step: Any) -> None:
    """Shapes and strong dtypes as documented, and alike after reset and after step."""
    spec = env.spec
    env_state, timestep = reset.eval_shape(jax.random.key(0))
    action = jax.ShapeDtypeStruct((spec.num_agents,), jnp.int32)
    if not spec.discrete:
        action = jax.ShapeDtypeStruct((spec.num_agents, spec.action_size), jnp.float32)
    stepped = step.eval_shape(jax.random.key(0), env_state, action)
    assert avals(stepped) == avals((env_state, timestep))
    assert not any(leaf.weak_type for leaf in jax.tree.leaves(stepped))
    expected = {
        "observation": ((spec.num_agents, spec.observation_size), jnp.float32),
        "state": ((spec.state_size,), jnp.float32),
        "action_mask": ((spec.num_agents, spec.action_size), bool),
        "active_mask": ((spec.num_agents,), bool),
        "reward": ((), jnp.float32),
        "terminated": ((), bool),
        "truncated": ((), bool),
    }
    assert (timestep.won is not None) == spec.winnable
    if spec.winnable:
        expected["won"] = ((), bool)
    assert {name: (getattr(timestep, name).shape, getattr(timestep, name).dtype) for name in expected} == expected


def check_values(env: Environment, timestep: Any) -> None:
    """Finite, zero in the padding, no action where there is none."""
    for leaf in jax.tree.leaves(timestep):
        assert np.isfinite(leaf).all()
    for index, (width, actions) in enumerate(zip(env.spec.observation_sizes, env.spec.action_sizes, strict=True)):
        assert not timestep.observation[..., index, width:].any()
        assert timestep.action_mask[..., index, :actions].any(-1).all()
        assert not timestep.action_mask[..., index, actions:].any()
    assert not (timestep.terminated & timestep.truncated).any()


def check_episode(env: Environment, played: Played) -> None:
    """Over after `episode_length` steps at the latest: by the time limit then and only then, or by a true end."""
    length, name = env.spec.episode_length, env.spec.name
    assert not played.first.done.any() and not played.first.reward.any()
    done, truncated = (np.asarray(leaf)[:length] for leaf in (played.outcome.done, played.outcome.truncated))
    first = np.where(done.any(0), done.argmax(0), len(done) - 1)
    if length < MOST_STEPS:
        assert done.any(0).all()
    assert not truncated[: length - 1].any()
    if name.startswith(("mpe/", "probe/")):
        assert (first == length - 1).all()
        assert truncated[-1].all() == (name.startswith("mpe/") or name == "probe/endless")
    if name.startswith("swimmer/"):
        assert not played.outcome.terminated.any()
    if env.spec.winnable:
        assert not (np.asarray(played.outcome.won)[:length] & ~np.asarray(played.outcome.terminated)[:length]).any()


@pytest.mark.parametrize("static", CASES, ids=case_name)
def test_environment(static):
    env = make_env(static)
    check_spec(env, static)
    reset, step = jax.jit(env.reset), jax.jit(env.step)
    check_types(env, reset, step)
    program = jax.jit(lambda key: play(env, reset, step, key))
    played = jax.device_get(program(jax.random.key(0)))
    check_values(env, played.first)
    check_values(env, played.outcome)
    assert (np.abs(played.outcome.reward) < 1e3).all()
    check_episode(env, played)
    again, other = jax.device_get((program(jax.random.key(0)), program(jax.random.key(1))))
    assert_same_bits(again, played)
    if not env.spec.name.startswith("probe/"):
        assert (other.first.state != played.first.state).any()
