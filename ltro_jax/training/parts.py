"""The static parts of one training program, built once from the settings."""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Bool, Integer

from ltro_jax.algorithms import ALGORITHMS, FACTOR_RULES, UpdateRule, get_rule, is_read, readers
from ltro_jax.config import Config, Hypers, SettingsError, Static
from ltro_jax.config.coercion import setting_text
from ltro_jax.config.sharing import parameter_groups
from ltro_jax.envs import Environment, make_env
from ltro_jax.envs.base import EnvSpec
from ltro_jax.networks import Actor, Critic, get_body, get_core, make_actor, make_critic
from ltro_jax.training.critic_inputs import CRITIC_INPUTS, CriticInput
from ltro_jax.types import Array


class Parts(NamedTuple):
    """Environment, networks and update rule; nothing here is traced."""

    static: Static
    env: Environment
    rule: UpdateRule
    actor: Actor
    critic: Critic
    critic_input: CriticInput
    num_iterations: int  # of the whole run, for learning-rate annealing
    groups: tuple[int, ...]  # index of the parameters of each agent, 0 … P−1

    @property
    def spec(self) -> EnvSpec:
        """The environment's facts."""
        return self.env.spec

    @property
    def shared(self) -> bool:
        """Whether some agents have the same parameters."""
        return len(set(self.groups)) < len(self.groups)

    @property
    def observation_mask(self) -> Bool[Array, "N O"] | None:
        """`[N, O]` bool, entries that exist; None if all observations have the same size."""
        mask = self.env.spec.observation_mask
        return None if mask is None else jnp.asarray(mask)


def make_parts(config: Config) -> Parts:
    """Build the parts.

    Raises:
        SettingsError: the task or algorithm is unknown, an option does not fit the task, a given setting has no effect,
            or JAX is in float64 mode.
    """
    if jnp.result_type(float) != jnp.float32:
        raise SettingsError(
            "JAX_ENABLE_X64 is on, but training uses float32; unset it, or train and load runs inside "
            "`with jax.enable_x64(False):`"
        )
    static = config.static
    rule, env = get_rule(static.algorithm), make_env(static)
    spec = env.spec
    if static.share_parameters != "none" and not rule.shareable:
        able = ", ".join(name for name, other in ALGORITHMS.items() if other.shareable)
        raise SettingsError(
            f"share_parameters = {static.share_parameters} is not possible with algorithm = {static.algorithm!r}; "
            f"choose one of {able}"
        )
    _refuse_ineffective(config, rule, spec)
    if static.kl_shares is not None and len(static.kl_shares) != spec.num_agents:
        shares, count = setting_text(static.kl_shares), len(static.kl_shares)
        raise SettingsError(
            f"kl_shares = {shares} has {count} numbers; give one for each of the {spec.num_agents} positions"
        )
    groups = parameter_groups(static.share_parameters, spec.types)
    observation_sizes, action_sizes = widest(spec.observation_sizes, groups), widest(spec.action_sizes, groups)
    sizes = static.hidden_sizes
    core = get_core(static.core, sizes[-1]) if static.recurrent else None
    network = core, static.layer_norm, get_body(static.network, sizes, max(observation_sizes))
    actor = make_actor(observation_sizes, action_sizes, spec.discrete, sizes, *network)
    actor = actor._replace(groups=groups)
    critic_input = CRITIC_INPUTS[rule.critic_input or static.critic_input](spec)
    critic = make_critic(critic_input.state_sizes, sizes, *network)
    return Parts(static, env, rule(actor, static), actor, critic, critic_input, config.num_iterations, groups)


def widest(sizes: Sequence[int], groups: Sequence[int]) -> tuple[int, ...]:
    """The largest of the agents' `sizes` in each group."""
    pairs = list(zip(sizes, groups, strict=True))
    return tuple(max(size for size, other in pairs if other == group) for group in sorted(set(groups)))


# (static setting, value, settings that have no effect with this value)
UNUSED = (
    ("recurrent", False, {"chunk_length", "core"}),
    ("actor_epochs", 0, {"actor_lr", "ent_coef", "actor_minibatches"}),
    ("critic_epochs", 0, {"critic_lr", "critic_minibatches", "huber_delta"}),
    ("ls_steps", 1, {"backtrack_coeff"}),
    ("optimizer", "adam", {"weight_decay"}),
    ("optimizer", "rmsprop", {"weight_decay"}),
    ("optimizer", "sgd", {"weight_decay", "adam_eps"}),
)


def _refuse_ineffective(config: Config, rule: type[UpdateRule], spec: EnvSpec) -> None:
    """Reject a setting that the user gave and the program does not read; accept values of presets and stored runs.

    Raises:
        SettingsError: the message names the setting, the reason, and the remedy.
    """
    static, settings = config.static, config.to_dict()
    axes = [name for name, _ in config.run.grid if "grid" in config.given]
    chosen = [name for name in settings if name in config.given and name not in axes]
    for name in (*chosen, *axes):
        words = f"grid = {name}=…" if name in axes else f"{name} = {settings[name]!r}"
        if name in ("std_x_coef", "std_y_coef") and spec.discrete:
            raise SettingsError(f"{words} has no meaning on {spec.name} with discrete actions; leave it out")
        if not is_read(name, rule):
            reason = ", whose critics read the observation of each agent" if name == "critic_input" else ""
            raise SettingsError(
                f"{words} has no meaning with algorithm = {static.algorithm!r}{reason}; leave it out (only "
                f"{', '.join(readers(name))} read it)"
            )
        of_factor = {reader for reader, other in FACTOR_RULES.items() if name in other.reads}
        if of_factor and static.factor_rule not in of_factor:
            raise SettingsError(
                f"{words} has no effect with factor_rule = {static.factor_rule}; leave it out or choose "
                f"factor_rule = {' or '.join(sorted(of_factor))}"
            )
        if name == "layer_norm" and static.network != "mlp" and not static.recurrent:
            raise SettingsError(
                f"{words} has no effect with network = {static.network!r} and recurrent = False; leave it out"
            )
        for other, value, unused in UNUSED:
            if name in unused and getattr(static, other) == value:
                raise SettingsError(f"{words} has no effect with {other} = {value}; leave it out or change {other}")


def annealed(hypers: Hypers, iteration: Integer[Array, ""], parts: Parts) -> Hypers:
    """`hypers` with the learning rates at `iteration`: constant, or falling linearly to 0 over the run."""
    if not parts.static.anneal_lr:
        return hypers
    remaining = (parts.num_iterations - iteration).astype(jnp.float32) / parts.num_iterations
    return hypers.replace(actor_lr=hypers.actor_lr * remaining, critic_lr=hypers.critic_lr * remaining)
