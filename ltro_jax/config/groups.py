"""The three groups of settings, each with its default, its meaning and what it may be. Needs no JAX."""

from dataclasses import dataclass, field
from typing import Any


def setting(default: Any, help: str, compare: bool = True, **check: Any) -> Any:
    """A dataclass field with its help text and what it may be (`above`, `at_least`, `at_most`, `choices`).

    Runs that differ only in settings with `compare = False` are the same run.
    """
    return field(default=default, compare=compare, metadata={"help": help, **check})


def hyper(default: float, help: str, **check: Any) -> Any:
    """As `setting`, for a leaf of the traced pytree."""
    return setting(default, help, **check)


TRACKERS = ("wandb", "tensorboard", "mlflow")


@dataclass(frozen=True)
class Static:
    """Settings that are part of the compiled program."""

    task: str = setting("mpe/simple_spread", "environment, as listed by `ltro envs`")
    algorithm: str = setting("clip_happo", "algorithm, as listed by `ltro presets`")
    num_agents: int | None = setting(
        None, "number of agents where the task allows a choice; none = its default", at_least=1, at_most=4096
    )
    continuous_actions: bool | None = setting(
        None, "continuous or discrete actions where the task offers both; none = its default"
    )
    observation: str | None = setting(
        None,
        "what agents see where the task offers a choice: the whole state or their own joints; none = the task's own",
        choices=("full", "joints"),
    )
    backend: str | None = setting(
        None,
        "physics where the task offers a choice; none = the task's own",
        choices=("positional", "spring", "generalized", "mjx"),
    )
    episode_length: int | None = setting(None, "time limit of an episode in steps; none = the task's own", at_least=1)
    team_reward: str | None = setting(
        None, "team reward from the agents' own rewards where they differ; none = sum", choices=("sum", "mean")
    )
    num_envs: int = setting(20, "parallel environments B", at_least=1)
    rollout_length: int = setting(200, "rollout steps T per iteration", at_least=1)
    network: str = setting("mlp", "body of actor and critic: mlp, or module:body for your own, which gets hidden_sizes")
    hidden_sizes: tuple[int, ...] = setting((128, 128), "widths of the hidden layers of actor and critic", at_least=1)
    layer_norm: bool = setting(True, "LayerNorm of the inputs and after each hidden layer of actor and critic")
    recurrent: bool = setting(False, "actors and critic have a memory after the body, as wide as the last hidden layer")
    core: str = setting("gru", "recurrent: kind of the memory, gru, lstm, or module:core for your own")
    chunk_length: int = setting(
        10,
        "recurrent: steps of a training sequence; must divide rollout_length, which is full backpropagation",
        at_least=1,
    )
    share_parameters: str = setting(
        "none", "agents that have the same actor: none, all, groups (those of one type), or groups like 0,0,1,1"
    )
    agent_id: bool = setting(False, "agents see their own number, as a one-hot vector before their observation")
    critic_input: str = setting(
        "shared_state",
        "what the central critic values: the global state, or every agent's state (the global one and its observation)",
        choices=("shared_state", "agent_state"),
    )
    actor_epochs: int = setting(5, "epochs K over the rollout per agent", at_least=0)
    critic_epochs: int = setting(5, "epochs over the rollout for the critic", at_least=0)
    actor_minibatches: int = setting(
        1, "minibatches M per actor epoch; must divide num_envs × rollout_length (÷ chunk_length)", at_least=1
    )
    critic_minibatches: int = setting(
        1, "minibatches per critic epoch; must divide num_envs × rollout_length (÷ chunk_length)", at_least=1
    )
    ls_steps: int = setting(10, "trust region: most candidates of the line search", at_least=1)
    cg_iterations: int = setting(10, "trust region: conjugate-gradient iterations", at_least=1)
    agent_order: str = setting(
        "random",
        "order of the sequential update in each iteration: random, fixed, by falling mean |A / V| (greedy), or "
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
    anneal_lr: bool = setting(False, "learning rates fall linearly to 0 over the run")
    eval_episodes: int = setting(20, "evaluation episodes, greedy and sampled each; 0 = no evaluation", at_least=0)
    eval_interval: int = setting(10, "iterations per device call; an evaluation follows each call", at_least=1)
    optimizer: str = setting("adam", "optimizer of actors and critics", choices=("adam", "adamw", "rmsprop", "sgd"))
    matmul_precision: str = setting(
        "highest", "precision of matrix products on accelerators", choices=("highest", "high", "default")
    )

    @property
    def steps_per_iteration(self) -> int:
        """Environment steps of one iteration."""
        return self.num_envs * self.rollout_length

    @property
    def sequence_length(self) -> int | None:
        """Steps of a training sequence; None when feed-forward."""
        return self.chunk_length if self.recurrent else None


@dataclass(frozen=True)
class HyperSettings:
    """Hyper-parameters, as declared; the pytree of them is `Hypers`."""

    actor_lr: Any = hyper(5e-4, "actor learning rate", above=0)
    critic_lr: Any = hyper(5e-4, "critic learning rate", above=0)
    clip_eps: Any = hyper(0.2, "ratio clip ε of the surrogate, and value clip", above=0)
    factor_clip: Any = hyper(1.0, "upper clamp c of the factor where it is used; 1 = clip-HAPPO, inf = HAPPO", above=0)
    factor_eps: Any = hyper(0.1, "factor_rule = two_sided: half width ε' of the interval around 1", above=0)
    factor_power: Any = hyper(0.5, "factor_rule = power: exponent α of the factor", at_least=0)
    trace_clip: Any = hyper(1.0, "a2po: upper clamp of the factor in the advantage's trace", above=0)
    clip_eps_slope: Any = hyper(
        0.5, "a2po: share of the ratio clip that grows with the position in the order", at_least=0, at_most=1
    )
    kl_threshold: Any = hyper(0.01, "trust region: δ, largest mean KL(old ‖ new) of a step in nats", above=0)
    accept_ratio: Any = hyper(0.5, "trust region: least actual gain over expected gain", at_least=0)
    backtrack_coeff: Any = hyper(0.8, "trust region: each candidate is this much shorter", above=0, at_most=1)
    ent_coef: Any = hyper(0.01, "coefficient of the mean entropy", at_least=0)
    gamma: Any = hyper(0.99, "discount γ", at_least=0, at_most=1)
    gae_lambda: Any = hyper(0.95, "λ of the generalised advantage estimate", at_least=0, at_most=1)
    max_grad_norm: Any = hyper(10.0, "global gradient norm is clipped to this", above=0)
    huber_delta: Any = hyper(10.0, "δ of the value loss: quadratic below, linear above", above=0)
    adam_eps: Any = hyper(1e-5, "ε of adam, adamw and rmsprop", above=0)
    weight_decay: Any = hyper(1e-4, "adamw: weight decay", at_least=0)
    std_x_coef: Any = hyper(1.0, "Gaussian head: std = sigmoid(log_std / std_x_coef) · std_y_coef", above=0)
    std_y_coef: Any = hyper(0.5, "Gaussian head: upper limit of the standard deviation", above=0)


@dataclass(frozen=True)
class Run:
    """Settings of the host loop; of the program only the length of a run that anneals its learning rate."""

    seeds: tuple[int, ...] = setting((0,), "seeds, one member each: A:B (half-open) or 1,4,9", at_least=0)
    grid: tuple[tuple[str, tuple[float, ...]], ...] = setting(
        (), "hyper-parameters to try in all combinations, each with every seed: actor_lr=3e-4,5e-4 factor_clip=1,inf"
    )
    members_at_once: int | None = setting(
        None, "members of a device trained side by side; none = 1 on a CPU, elsewhere as many as fit", at_least=1
    )
    total_env_steps: int = setting(
        10_000_000, "environment steps per member; rounded up to whole iterations", at_least=1
    )
    checkpoint_interval: int = setting(
        50, "iterations between checkpoints (taken at the next end of a device call)", at_least=1
    )
    keep_checkpoints: int = setting(2, "newest checkpoints kept", at_least=1)
    tracker: tuple[str, ...] = setting(
        (), "experiment trackers that get the metrics as well; extra `trackers`", compare=False, choices=TRACKERS
    )
    tracker_project: str = setting("ltro_jax", "project of the trackers; MLflow calls it experiment", compare=False)
    tracker_group: str = setting(
        "per_member",
        "a tracker's run for each member, grouped, or one run in which the metrics of each member have its name before",
        compare=False,
        choices=("per_member", "one_run"),
    )
