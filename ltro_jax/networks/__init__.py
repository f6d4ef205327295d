"""Actor and critic networks (flax.linen) behind plain functions."""

from ltro_jax.networks.actor import Actor, apply_agents, make_actor
from ltro_jax.networks.critic import Critic, make_critic
from ltro_jax.networks.initialisers import wait_for
from ltro_jax.networks.recurrent import GRU

__all__ = ["GRU", "Actor", "Critic", "apply_agents", "make_actor", "make_critic", "wait_for"]
