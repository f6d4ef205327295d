"""The three groups of settings, with the default, meaning and range of each setting. Needs no JAX."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from ltro_jax.config.coercion import SettingsError
from ltro_jax.config.families import EnvOptions, UnresolvedOptions, families_with, options_class
from ltro_jax.config.specs import SettingSpec, field_specs, setting

Scalar = Any  # a float, or an array of JAX: [] float32, `[S]` once stacked over members
GROUPS = ("static", "hypers", "run")
TRACKERS = ("wandb", "tensorboard", "mlflow")


@dataclass(frozen=True)
class Static:
    """Settings that are part of the compiled program."""

    task: str = setting("mpe/simple_spread", "environment, as listed by `ltro envs`")
    algorithm: str = setting("clip_happo", "algorithm, as listed by `ltro presets`, or your own rule as module:rule")
    options: EnvOptions = field(default=cast(EnvOptions, None))  # of the family of the task; None = the defaults
    episode_length: int | None = setting(
        None, "time limit of an episode in steps; none = the default of the task", at_least=1
    )
    num_envs: int = setting(20, "parallel environments B", at_least=1)
    rollout_length: int = setting(200, "rollout steps T per iteration", at_least=1)
    network: str = setting("mlp", "body of actor and critic: mlp, or module:body for your own, which gets hidden_sizes")
    hidden_sizes: tuple[int, ...] = setting((128, 128), "widths of the hidden layers of actor and critic", at_least=1)
    layer_norm: bool = setting(True, "apply LayerNorm to the inputs and after each hidden layer of actor and critic")
    recurrent: bool = setting(
        False, "add a memory, as wide as the last hidden layer, to the bodies of actors and critic"
    )
    core: str = setting("gru", "recurrent: kind of memory: gru, lstm, or your own as module:core")
    chunk_length: int = setting(
        10,
        "recurrent: steps of a training sequence; must divide rollout_length (equal to it: full backpropagation)",
        at_least=1,
    )
    share_parameters: str = setting(
        "none", "agents that share an actor: none, all, groups (those of the same type), or groups like 0,0,1,1"
    )
    agent_id: bool = setting(False, "prepend the one-hot number of the agent to its observation")
    critic_input: str = setting(
        "shared_state",
        "input of the central critic: the global state, or for each agent the global state and its observation",
        choices=("shared_state", "agent_state"),
    )
    actor_epochs: int = setting(5, "epochs K of each actor over the rollout", at_least=0)
    critic_epochs: int = setting(5, "epochs of the critic over the rollout", at_least=0)
    actor_minibatches: int = setting(
        1, "minibatches M per actor epoch; must divide num_envs × rollout_length (÷ chunk_length)", at_least=1
    )
    critic_minibatches: int = setting(
        1, "minibatches per critic epoch; must divide num_envs × rollout_length (÷ chunk_length)", at_least=1
    )
    ls_steps: int = setting(10, "trust region: maximum number of line-search candidates", at_least=1)
    cg_iterations: int = setting(10, "trust region: conjugate-gradient iterations", at_least=1)
    agent_order: str = setting(
        "random",
        "order of the sequential update in every iteration: random, fixed, by falling mean |A / V| (greedy), or "
        "alternately by it and at random (semi_greedy)",
        choices=("random", "fixed", "greedy", "semi_greedy"),
    )
    factor_rule: str = setting(
        "clamp",
        "weight of a sample from the factor R of the agents before: min(R, factor_clip), the product of each agent's "
        "min(r, factor_clip), R within 1 ± factor_eps, R / mean R, R to the factor_power, or 1",
        choices=("clamp", "per_agent_clamp", "two_sided", "self_normalised", "power", "none"),
    )
    kl_shares: tuple[float, ...] | None = setting(
        None, "trust region: share of each position in N · kl_threshold, like 1,2,3; none = equal shares", above=0
    )
    truncation: str = setting(
        "bootstrap",
        "advantage at a time limit: bootstrap from the true next state, or mask",
        choices=("bootstrap", "mask"),
    )
    anneal_lr: bool = setting(False, "decrease the learning rates linearly to 0 over the run")
    eval_episodes: int = setting(
        20, "evaluation episodes with greedy and with sampled actions; 0 = no evaluation", at_least=0
    )
    eval_interval: int = setting(10, "iterations per device call; an evaluation follows each call", at_least=1)
    optimizer: str = setting("adam", "optimizer of actors and critics", choices=("adam", "adamw", "rmsprop", "sgd"))
    matmul_precision: str = setting(
        "highest", "precision of matrix products on accelerators", choices=("highest", "high", "default")
    )

    def __post_init__(self) -> None:
        cls = options_class(self.task)
        if self.options is None:
            object.__setattr__(self, "options", cls())
        elif UnresolvedOptions not in (cls, type(self.options)) and type(self.options) is not cls:
            given = type(self.options).__name__
            raise SettingsError(f"options = {given}(…) are not the options of {self.task}; give {cls.__name__}(…)")

    @property
    def steps_per_iteration(self) -> int:
        """Environment steps of one iteration."""
        return self.num_envs * self.rollout_length

    @property
    def sequence_length(self) -> int | None:
        """Steps of a training sequence; None if `recurrent` is off."""
        return self.chunk_length if self.recurrent else None


@dataclass(frozen=True)
class HyperSettings:
    """The declarations of the hyper-parameters; `Hypers` is their pytree."""

    actor_lr: Scalar = setting(5e-4, "actor learning rate", above=0)
    critic_lr: Scalar = setting(5e-4, "critic learning rate", above=0)
    clip_eps: Scalar = setting(0.2, "ratio clip ε of the surrogate, and value clip", above=0)
    factor_clip: Scalar = setting(1.0, "upper clamp c of the factor; 1 = clip-HAPPO, inf = HAPPO", above=0)
    factor_eps: Scalar = setting(0.1, "factor_rule = two_sided: half width ε' of the interval around 1", above=0)
    factor_power: Scalar = setting(0.5, "factor_rule = power: exponent α of the factor", at_least=0)
    trace_clip: Scalar = setting(
        1.0, "a2po: upper clamp of the factor in the trace of the advantage", above=0, at_most=1
    )
    clip_eps_slope: Scalar = setting(
        0.5, "a2po: share of the ratio clip that grows with the position in the order", at_least=0, at_most=1
    )
    kl_threshold: Scalar = setting(0.01, "trust region: maximum mean KL(old ‖ new) δ of a step, in nats", above=0)
    accept_ratio: Scalar = setting(0.5, "trust region: minimum ratio of actual to expected gain", at_least=0)
    backtrack_coeff: Scalar = setting(
        0.8, "trust region: length of each candidate relative to the previous one", above=0, at_most=1
    )
    ent_coef: Scalar = setting(0.01, "coefficient of the mean entropy", at_least=0)
    gamma: Scalar = setting(0.99, "discount γ", at_least=0, at_most=1)
    gae_lambda: Scalar = setting(0.95, "λ of generalised advantage estimation", at_least=0, at_most=1)
    max_grad_norm: Scalar = setting(10.0, "maximum global gradient norm; larger gradients are rescaled", above=0)
    huber_delta: Scalar = setting(10.0, "δ of the value loss: quadratic below, linear above", above=0)
    adam_eps: Scalar = setting(1e-5, "ε of adam, adamw and rmsprop", above=0)
    weight_decay: Scalar = setting(1e-4, "weight decay of adamw", at_least=0)
    std_x_coef: Scalar = setting(1.0, "Gaussian head: std = sigmoid(log_std / std_x_coef) · std_y_coef", above=0)
    std_y_coef: Scalar = setting(0.5, "Gaussian head: upper limit of the standard deviation", above=0)


@dataclass(frozen=True)
class RunSettings:
    """Settings of the host loop. The program depends on them only where `anneal_lr` needs the length of the run."""

    seeds: tuple[int, ...] = setting((0,), "seeds, one for each member: A:B (half-open) or 1,4,9", at_least=0)
    grid: tuple[tuple[str, tuple[float, ...]], ...] = setting(
        (),
        "values of hyper-parameters; trains every combination with every seed: actor_lr=3e-4,5e-4 factor_clip=1,inf",
    )
    members_at_once: int | None = setting(
        None,
        "members that a device trains at the same time; none = 1 on a CPU, as many as fit on an accelerator",
        at_least=1,
    )
    total_env_steps: int = setting(
        10_000_000, "environment steps of each member, rounded up to whole iterations", at_least=1
    )
    checkpoint_interval: int = setting(
        50, "iterations between checkpoints (written at the end of a device call)", at_least=1
    )
    keep_checkpoints: int = setting(2, "number of checkpoints to keep, newest first", at_least=1)
    tracker: tuple[str, ...] = setting(
        (), "experiment trackers to send the metrics to (extra `trackers`)", compare=False, choices=TRACKERS
    )
    tracker_project: str = setting("ltro_jax", "project in the trackers; MLflow calls it an experiment", compare=False)
    tracker_group: str = setting(
        "per_member",
        "one grouped tracker run for each member, or a single tracker run whose metric names start with the member",
        compare=False,
        choices=("per_member", "one_run"),
    )


SETTINGS: Mapping[str, SettingSpec] = {
    **field_specs(Static, "static"),
    **field_specs(HyperSettings, "hypers"),
    **field_specs(RunSettings, "run"),
}


def find_setting(name: str, task: str = "") -> SettingSpec | None:
    """The setting or option `name`: of the family of `task` where it has one of that name, else of any family."""
    if name in SETTINGS:
        return SETTINGS[name]
    return field_specs(options_class(task)).get(name) or next(iter(families_with(name).values()), None)
