"""The static parts of one training program, built once from the settings."""

from typing import NamedTuple

import jax.numpy as jnp

from ltro_jax.algorithms import ALGORITHMS, Recipe, get_recipe
from ltro_jax.config import Config, Hypers, SettingsError, Static
from ltro_jax.envs import Environment, make_env
from ltro_jax.envs.base import EnvSpec
from ltro_jax.networks import GRU, Actor, Critic, make_actor, make_critic
from ltro_jax.training.critic_inputs import CRITIC_INPUTS, CriticInput
from ltro_jax.types import Array


class Parts(NamedTuple):
    """Environment, networks and recipe; nothing here is traced."""

    static: Static
    env: Environment
    recipe: Recipe
    actor: Actor
    critic: Critic
    critic_input: CriticInput
    num_iterations: int  # of the whole run, for learning-rate annealing

    @property
    def spec(self) -> EnvSpec:
        """The environment's facts."""
        return self.env.spec

    @property
    def observation_mask(self) -> Array | None:
        """`[N, O]` bool, or None when all agents are equally wide."""
        mask = self.env.spec.observation_mask
        return None if mask is None else jnp.asarray(mask)


def make_parts(config: Config) -> Parts:
    """Build the parts.

    Raises:
        SettingsError: unknown task or algorithm, or options that do not fit the task.
    """
    static = config.static
    recipe, env = get_recipe(static.algorithm), make_env(static)
    spec = env.spec
    defaults = Hypers()
    for name in ("std_x_coef", "std_y_coef"):
        value = getattr(config.hypers, name)
        if spec.discrete and value != getattr(defaults, name):
            raise SettingsError(f"{name} = {value} has no meaning on {spec.name} with discrete actions; leave it out")
    if static.share_parameters and not recipe.shareable:
        able = ", ".join(name for name, other in ALGORITHMS.items() if other.shareable)
        raise SettingsError(
            f"share_parameters = True is not possible with algorithm = {static.algorithm!r}; choose one of {able}"
        )
    if recipe.local_critics and static.critic_input != "shared_state":
        raise SettingsError(
            f"critic_input = {static.critic_input!r} has no meaning with algorithm = {static.algorithm!r}, whose "
            "critics see the agents' own observations; leave it out"
        )
    core = GRU if static.recurrent else None
    sizes = spec.observation_sizes, spec.action_sizes
    if static.share_parameters:
        sizes = (spec.observation_size,), (spec.action_size,)
    actor = make_actor(*sizes, spec.discrete, static.hidden_sizes, core, static.layer_norm)
    critic_input = CRITIC_INPUTS["observation" if recipe.local_critics else static.critic_input](spec)
    critic = make_critic(critic_input.state_sizes, static.hidden_sizes, core, static.layer_norm)
    return Parts(static, env, recipe, actor, critic, critic_input, config.num_iterations)


def annealed(hypers: Hypers, iteration: Array, parts: Parts) -> Hypers:
    """Learning rates at `iteration`: constant, or falling linearly to 0 over the run."""
    if not parts.static.anneal_lr:
        return hypers
    remaining = 1.0 - iteration.astype(jnp.float32) / parts.num_iterations
    return hypers.replace(actor_lr=hypers.actor_lr * remaining, critic_lr=hypers.critic_lr * remaining)
