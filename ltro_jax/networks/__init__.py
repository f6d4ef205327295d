"""Actor and critic networks (flax.linen) behind plain functions."""

from ltro_jax.networks.actor import Actor, apply_agents, make_actor
from ltro_jax.networks.critic import Critic, apply_critics, make_critic

__all__ = ["Actor", "Critic", "apply_agents", "apply_critics", "make_actor", "make_critic"]
