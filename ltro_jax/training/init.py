"""The state of a member before its first iteration."""

import jax
import jax.numpy as jnp
from jaxtyping import Integer

from ltro_jax.algorithms.optimizer import init_optimizer
from ltro_jax.config import Hypers
from ltro_jax.networks import wait_for
from ltro_jax.ops import init_value_norm
from ltro_jax.training.parts import Parts
from ltro_jax.training.rollout import new_tally
from ltro_jax.types import AgentState, Array, Best, CriticState, RunnerState


def init(seed: Integer[Array, ""] | int, hypers: Hypers, parts: Parts) -> RunnerState:
    """Initialise the networks, optimizers and environments of the member with this seed.

    All keys come from the seed, so a seed draws the same numbers alone and in any sweep.

    Args:
        seed: uint32.
        hypers: reads `std_x_coef`.
    """
    seed = jnp.asarray(seed, jnp.uint32)
    actor_key, critic_key, reset_key, train_key, eval_key = jax.random.split(jax.random.key(seed), 5)
    actor_params = parts.actor.init(actor_key, hypers)
    critic_params = parts.critic.init(wait_for(actor_params, critic_key))
    num_critics = parts.critic_input.num_critics
    value_norm = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (num_critics,)), init_value_norm())
    num_envs, num_agents = parts.static.num_envs, parts.spec.num_agents
    num_sequences = num_envs * parts.critic_input.sequences
    env_state, timestep = jax.vmap(parts.env.reset)(jax.random.split(reset_key, num_envs))
    zeros, none_yet = jax.tree.map(jnp.zeros_like, actor_params), jnp.full((), -jnp.inf, jnp.float32)
    return RunnerState(
        iteration=jnp.zeros((), jnp.int32),
        train_key=train_key,
        eval_key=eval_key,
        agents=AgentState(actor_params, parts.rule.init(actor_params)),
        critic=CriticState(critic_params, init_optimizer(parts.static.optimizer, critic_params), value_norm),
        env_state=env_state,
        timestep=timestep,
        actor_hidden=parts.actor.initial_hidden((num_envs, num_agents)),
        critic_hidden=parts.critic.initial_hidden((num_critics, num_sequences)),
        tally=new_tally(num_envs),
        failed_at=jnp.full((), -1, jnp.int32),
        best=Best(zeros, jnp.zeros((), jnp.int32), none_yet) if parts.static.eval_episodes else None,
    )
