"""Actor and critic networks (flax.linen) behind plain functions."""

from ltro_jax.networks.actor import Actor, apply_agents, make_actor
from ltro_jax.networks.critic import Critic, make_critic
from ltro_jax.networks.initialisers import wait_for
from ltro_jax.networks.recurrent import GRU, LSTM, Core, scan_sequence
from ltro_jax.networks.registry import BODIES, CORES, get_body, get_core

__all__ = [
    "BODIES",
    "CORES",
    "GRU",
    "LSTM",
    "Actor",
    "Core",
    "Critic",
    "apply_agents",
    "get_body",
    "get_core",
    "make_actor",
    "make_critic",
    "scan_sequence",
    "wait_for",
]
