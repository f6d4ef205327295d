"""The traced hyper-parameters as a pytree."""

from flax import struct

from ltro_jax.config.groups import HyperSettings


class Hypers(HyperSettings, struct.PyTreeNode, frozen=True):
    """Traced hyper-parameters: float32 scalars, or `[S]` stacked over members."""
