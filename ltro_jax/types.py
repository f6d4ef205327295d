"""The data that flows through training, and its axes.

Axes (members, when present, are outermost: `[S, …]`):

    S members      T rollout steps     B parallel environments
    N agents       O observation       G global state
    A action width H hidden width      P actor stacks (N independent, 1 shared)
    C critic stacks (1 central, N local)
    K epochs       M minibatches       L steps of a training sequence (recurrent)

Masks are boolean and True means valid. `terminated` is a true end of the episode, `truncated` the time limit;
`done` always means their union. Keys are typed (`jax.random.key`) and consumed once.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np
from flax import struct
from jaxtyping import Float

if TYPE_CHECKING:
    Array = jax.Array
else:  # what the tests check at run time: NumPy's arrays pass where JAX takes them
    Array = jax.Array | np.ndarray | np.generic
Params = Any  # nested dict of arrays, as flax makes it
Scalar = Float[Array, ""] | float  # a hyper-parameter, traced or constant
Hidden = Any  # hidden states of a recurrent network, any pytree of arrays; () when feed-forward


class TimeStep(struct.PyTreeNode):
    """What an environment shows after a reset or a step (one environment; `vmap` adds `[B]`)."""

    observation: Array  # [N, O] float32, zero-padded to the widest agent
    state: Array  # [G] float32, global state for the central critic
    action_mask: Array  # [N, A] bool; discrete: available actions, continuous: dimensions that exist
    active_mask: Array  # [N] bool, True = alive
    reward: Array  # [] float32, team reward
    terminated: Array  # [] bool
    truncated: Array  # [] bool
    won: Array | None = None  # [] bool, the step won the episode; None where nothing can be won

    @property
    def done(self) -> Array:
        """`[]` bool, the episode is over for either reason."""
        return self.terminated | self.truncated


class Transition(struct.PyTreeNode):
    """One rollout, `[T, B, …]`."""

    observation: Array  # [T, B, N, O]
    state: Array  # what the critics see: [T, B, G] shared state, or [T, B, N, G] each agent's own input
    next_state: Array  # likewise, of the true next step, before any auto-reset
    action: Array  # [T, B, N] int32, or [T, B, N, A] float32
    action_mask: Array  # [T, B, N, A] bool
    active_mask: Array  # [T, B, N] bool
    log_prob: Array  # [T, B, N] float32, of the joint action of each agent, at rollout time
    reward: Array  # [T, B] float32
    terminated: Array  # [T, B] bool
    truncated: Array  # [T, B] bool
    actor_hidden: Hidden  # [T, B, N, H] before each step


class TeamBatch(struct.PyTreeNode):
    """The samples that all agents of a rollout share, `[T, B]`."""

    reward: Array  # [T, B] float32, team reward
    terminated: Array  # [T, B] bool
    truncated: Array  # [T, B] bool


class AgentBatch(struct.PyTreeNode):
    """The samples of one agent, `[T, B, …]`; for all agents `[N, T, B, …]`, except `team`, which they share."""

    observation: Array  # [T, B, O]
    action: Array  # [T, B] int32 or [T, B, A] float32
    action_mask: Array  # [T, B, A] bool
    active_mask: Array  # [T, B] bool
    log_prob: Array  # [T, B] float32, stored at rollout time
    advantage: Array  # [T, B] float32, standardised
    observation_mask: Array | None = None  # [T, B, O] bool, entries that exist; None = all
    hidden: Hidden = ()  # [T, B, H] before each step
    start: Array | None = None  # [T, B] bool, the step is the first of an episode; None when feed-forward
    value: Array | None = None  # [T, B] float32, reward units, V of the agent's critic; None in a minibatch
    next_value: Array | None = None  # [T, B] float32, reward units, V of the true next state; None in a minibatch
    critic_output: Array | None = None  # [T, B] float32, V in normalised units; None in a minibatch
    team: TeamBatch | None = None  # None in a minibatch

    def of_agent(self, index: Array | int) -> "AgentBatch":
        """The samples of agent `index` of a batch of all agents."""
        samples = jax.tree.map(lambda leaf: leaf[index], self.replace(team=None))
        return samples.replace(team=self.team)

    def learnable(self) -> "AgentBatch":
        """The batch without the fields that only advantages need."""
        return self.replace(value=None, next_value=None, critic_output=None, team=None)


class CriticBatch(struct.PyTreeNode):
    """The samples of one critic, `[T, B, …]`; if the critic values the state of each agent, B counts these states."""

    state: Array  # [T, B, G]
    value: Array  # [T, B] float32, normalised units, at rollout time
    value_target: Array  # [T, B] float32, reward units
    state_mask: Array | None = None  # [T, B, G] bool, entries that exist; None = all
    hidden: Hidden = ()  # [T, B, H] before each step
    start: Array | None = None  # [T, B] bool, the step is the first of an episode; None when feed-forward


class ValueNorm(NamedTuple):
    """Exponentially weighted statistics of the return targets; all zero before the first update.

    Each update adds a hundred-thousandth: less than float32 can hold beside the total. What rounding loses is kept in
    the `…_rest` and added with the next update.
    """

    mean: Array  # [] float32, debiased
    variance: Array  # [] float32, around that mean, debiased, without a floor
    debias: Array  # [] float32, the same average of the constant 1 from 0 on: 1 − βⁿ after n updates
    mean_rest: Array  # [] float32
    variance_rest: Array  # [] float32
    debias_rest: Array  # [] float32


class AgentState(struct.PyTreeNode):
    """Actors; every leaf has a leading axis P."""

    params: Params
    opt_state: Any


class CriticState(struct.PyTreeNode):
    """Critics; every leaf has a leading axis C."""

    params: Params
    opt_state: Any
    value_norm: ValueNorm


class Best(struct.PyTreeNode):
    """The actors with the highest evaluation score so far."""

    params: Params  # leaves [P, …]; zeros before the first evaluation
    iteration: Array  # [] int32, after which they were evaluated; 0 = none yet
    score: Array  # [] float32, `eval_return_greedy` then; -inf = none yet


class EpisodeTally(struct.PyTreeNode):
    """Episode accounting carried across rollouts, `[B]`."""

    episode_return: Array  # [B] float32, of the episode under way
    return_rest: Array  # [B] float32, what its rounding has lost
    episode_length: Array  # [B] int32


class RunnerState(struct.PyTreeNode):
    """Everything a member needs to resume: a checkpoint holds exactly this."""

    iteration: Array  # [] int32, iterations done
    train_key: Array  # [] key, folded with `iteration` for each iteration
    eval_key: Array  # [] key, folded with `iteration` for each evaluation
    agents: AgentState
    critic: CriticState
    env_state: Any  # [B, …]
    timestep: TimeStep  # [B, …] what the actors see next
    actor_hidden: Hidden  # [B, N, H]
    critic_hidden: Hidden  # [C, B, H], or [1, B·N, H] for a critic of every agent's state
    tally: EpisodeTally
    failed_at: Array  # [] int32, iteration at which the member became non-finite and was frozen; -1 = never
    best: Best | None = None  # None where nothing is evaluated


class Metrics(NamedTuple):
    """The metrics of one iteration: names map to scalars, per-position `[N]` or per-agent `[N]` arrays."""

    scalar: dict[str, Array]
    position: dict[str, Array]
    agent: dict[str, Array]
