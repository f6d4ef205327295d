"""Initial parameter stacks: orthogonal kernels at each agent's true size, zero biases.

Only one QR decomposition is in flight at a time: on a CPU, several batched QRs of one program (what `vmap(init)` makes
of independent layers) can exhaust XLA's thread pool and never return. Layers are chained by a data dependency, equal
stacks by `lax.map`.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

from ltro_jax.types import Array, Params

BODY_GAIN = math.sqrt(2.0)


def initial_stack(
    key: Array, template: Params, input_sizes: Sequence[int], output_sizes: Sequence[int], head_gain: float
) -> Params:
    """Parameters of P networks with one padded layout.

    Args:
        key: typed key; network p uses `fold_in(key, p)` alone, whatever P.
        template: nested dict of `ShapeDtypeStruct` of one network, at the padded sizes.
        input_sizes, output_sizes: P true sizes; kernels are orthogonal at the true size and zero in the padding.
        head_gain: gain of the layer named `head`; other kernels have gain √2.
    Returns:
        Pytree as `template`, leaves `[P, …]`: kernels orthogonal, biases 0, LayerNorm scales 1, others 0.
    Source: Saxe et al. 2014; gains of the published implementation.
    """
    num_stacks = len(input_sizes)
    keys = jax.vmap(lambda index: jax.random.fold_in(key, index))(jnp.arange(num_stacks))
    stack, num_kernels, after = {}, 0, jnp.zeros(())
    for path, leaf in sorted(flatten_dict(template).items()):
        layer, name = path[-2:]
        if name != "kernel":
            stack[path] = jnp.full((num_stacks, *leaf.shape), 1.0 if name == "scale" else 0.0, leaf.dtype)
            continue
        rows = input_sizes if layer == "dense_0" else [leaf.shape[0]] * num_stacks
        columns = output_sizes if layer == "head" else [leaf.shape[1]] * num_stacks
        gain = head_gain if layer == "head" else BODY_GAIN
        sizes = list(zip(rows, columns, strict=True))
        stack[path] = _orthogonal_stack(keys, num_kernels, sizes, leaf, gain, after)
        num_kernels, after = num_kernels + 1, stack[path][-1, 0, 0]
    return unflatten_dict(stack)


def _orthogonal_stack(keys, kernel_index, sizes, leaf, gain, after) -> Array:
    """Kernels `[P, I, O]`, drawn one after another and after the value `after` is known."""
    orthogonal = jax.nn.initializers.orthogonal(gain)
    # 0 · after is 0, yet no compiler may drop it (it would be NaN for a NaN): the next QR waits for the last one
    salt = kernel_index + (0.0 * after).astype(jnp.int32)

    def draw(key: Array, size: tuple[int, int]) -> Array:
        kernel = orthogonal(jax.random.fold_in(key, salt), size, leaf.dtype)
        return jnp.pad(kernel, [(0, padded - true) for padded, true in zip(leaf.shape, size, strict=True)])

    if len(set(sizes)) == 1:
        return jax.lax.map(lambda key: draw(key, sizes[0]), keys)
    kernels = []
    for key, size in zip(keys, sizes, strict=True):
        kernels.append(draw(key, size))
        salt = kernel_index + (0.0 * kernels[-1][0, 0]).astype(jnp.int32)
    return jnp.stack(kernels)
