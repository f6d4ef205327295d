"""One agent's policy on stored samples, and its probability ratio to the policy that acted in the rollout."""

from jaxtyping import Float

from ltro_jax.algorithms.minibatches import training_samples
from ltro_jax.config import Hypers
from ltro_jax.distributions import Distribution
from ltro_jax.networks import Actor
from ltro_jax.types import AgentBatch, Array, Params


def policy(actor: Actor, params: Params, samples: AgentBatch, hypers: Hypers) -> Distribution:
    """The distribution on stored observations: samples `[…]`, or sequences `[…, L]` if recurrent."""
    memory = samples.hidden, samples.start
    return actor.unroll(params, samples.observation, *memory, samples.action_mask, samples.observation_mask, hypers)


def log_ratio(actor: Actor, params: Params, samples: AgentBatch, hypers: Hypers) -> Float[Array, "*samples"]:
    """log π(a|o) − stored log-probability of samples, or of sequences if recurrent."""
    return policy(actor, params, samples, hypers).log_prob(samples.action) - samples.log_prob


def rollout_log_ratio(actor: Actor, params: Params, batch: AgentBatch, hypers: Hypers) -> Float[Array, "T B"]:
    """log π(a|o) − stored log-probability over a rollout; a recurrent actor starts from its first hidden state."""
    if not actor.recurrent:
        return log_ratio(actor, params, batch, hypers)
    return log_ratio(actor, params, training_samples(batch, batch.log_prob.shape[0]), hypers).T
