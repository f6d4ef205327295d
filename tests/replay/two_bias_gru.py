"""The GRU of the recording: PyTorch's, with two bias vectors for every gate, which Adam moves separately."""

import jax.numpy as jnp
from flax import linen as nn

from ltro_jax.networks.recurrent import GRU, scan_gates
from ltro_jax.types import Array


class TwoBiasGRU(GRU):
    """Stands in for `ltro_jax.networks.GRU`, which has one bias for each of reset and update."""

    @nn.compact
    def __call__(self, x: Array, hidden: Array, start: Array) -> tuple[Array, Array]:
        zeros, gates = nn.initializers.zeros, 3 * self.width
        input_kernel = self.param("input_kernel", zeros, (x.shape[-1], gates))
        input_bias = self.param("input_bias", zeros, (gates,))
        recurrent_kernel = self.param("recurrent_kernel", zeros, (self.width, gates))
        recurrent_bias = self.param("recurrent_bias", zeros, (gates,))
        gates_bias, candidate_bias = jnp.split(recurrent_bias, [2 * self.width])
        inputs = x @ input_kernel
        inputs = inputs + jnp.broadcast_to(input_bias, inputs.shape)
        inputs = inputs + jnp.broadcast_to(jnp.pad(gates_bias, (0, self.width)), inputs.shape)
        after = scan_gates(inputs, hidden, start, recurrent_kernel, candidate_bias)
        return after, after
