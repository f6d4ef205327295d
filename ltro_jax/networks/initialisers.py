"""Initial parameter stacks: orthogonal kernels at the true size of each network, zero biases.

At most one QR decomposition runs at a time. On a CPU, several batched QRs of one program, which `vmap(init)` creates
for independent layers, can exhaust XLA's thread pool and never return. Therefore each QR waits for the previous one
through a data dependency (XLA drops `lax.optimization_barrier` on a CPU), and `lax.map` draws networks of equal size.
"""

import math
from collections.abc import Callable, Sequence, Set

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Float, Key

from ltro_jax.types import Array, Params

BODY_GAIN = math.sqrt(2.0)


def initial_stack(
    key: Key[Array, ""],
    init_one: Callable[[Array], Params],
    input_sizes: Sequence[int],
    output_sizes: Sequence[int],
    head_gain: float,
    custom: Set[str] = frozenset(),
) -> Params:
    """Parameters of P networks, padded to the same layout.

    Args:
        key: network p uses only `fold_in(key, p)`, for any P.
        init_one: `key → params` of one network at the padded sizes, by flax's own initialisers.
        input_sizes, output_sizes: P true sizes; kernels are orthogonal at the true size and zero in the padding.
        head_gain: gain of the layer named `head`. The kernels of a recurrent core, each with all gates side by side,
            have gain 1; all other kernels have gain √2.
        custom: names of the modules, such as `body`, whose parameters `init_one` draws.
    Returns:
        The structure of one network, leaves `[P, …]`: kernels orthogonal, LayerNorm scales 1, all others 0; the
        parameters of `custom` modules as `init_one` draws them.
    Source: Saxe et al. 2014; gains of the published implementation.
    """
    template: dict[tuple[str, ...], jax.ShapeDtypeStruct] = flatten_dict(jax.eval_shape(init_one, key))  # type: ignore
    leaves = {path: leaf for path, leaf in template.items() if path[1] not in custom}
    kernels = sorted(path for path in leaves if path[-1].endswith("kernel"))
    gains = [{"head": head_gain, "gru": 1.0, "lstm": 1.0}.get(path[-2], BODY_GAIN) for path in kernels]

    def true_shapes(network: int) -> tuple[tuple[int, int], ...]:
        rows = [input_sizes[network] if path[-2] == "dense_0" else leaves[path].shape[0] for path in kernels]
        columns = [output_sizes[network] if path[-2] == "head" else leaves[path].shape[1] for path in kernels]
        return tuple(zip(rows, columns, strict=True))

    def draw(network_key: Key[Array, ""], shapes: tuple[tuple[int, int], ...], after: Float[Array, ""]) -> list[Array]:
        drawn = _orthogonal_kernels(network_key, shapes, gains, after)
        padding = [
            [(0, p - t) for p, t in zip(leaves[path].shape, true.shape, strict=True)]
            for path, true in zip(kernels, drawn, strict=True)
        ]
        return [jnp.pad(kernel, pad) for kernel, pad in zip(drawn, padding, strict=True)]

    num_networks = len(input_sizes)
    keys = jax.vmap(lambda index: jax.random.fold_in(key, index))(jnp.arange(num_networks))
    shapes = [true_shapes(network) for network in range(num_networks)]
    first = jnp.zeros(())
    if len(set(shapes)) == 1:
        stacked = jax.lax.map(lambda network_key: draw(network_key, shapes[0], first), keys)
    else:
        networks = []
        for network in range(num_networks):
            networks.append(draw(keys[network], shapes[network], first))
            first = networks[-1][-1][0, 0]
        stacked = [jnp.stack(same) for same in zip(*networks, strict=True)]
    constant = {
        path: jnp.full((num_networks, *leaf.shape), 1.0 if path[-1] == "scale" else 0.0, leaf.dtype)
        for path, leaf in leaves.items()
    }
    drawn = constant | dict(zip(kernels, stacked, strict=True))
    if custom:
        others = jax.lax.map(lambda network_key: init_one(jax.random.fold_in(network_key, 1)), keys)
        drawn |= {path: leaf for path, leaf in flatten_dict(others).items() if path[1] in custom}
    return unflatten_dict(drawn)


def wait_for(params: Params, key: Key[Array, ""]) -> Key[Array, ""]:
    """`key` with a data dependency on the stack `params`: draws from it wait for the last QR of `params`.

    A program that initialises several networks from independent keys needs it; see the text at the top of this file.
    """
    last = params["params"]["head"]["kernel"][-1, 0, 0]
    nothing = jax.lax.convert_element_type(0.0 * last, jnp.uint32)  # no compiler may drop 0 · x, which is NaN for a NaN
    return jax.random.wrap_key_data(jax.random.key_data(key) + nothing, impl=jax.random.key_impl(key))


def _orthogonal_kernels(
    key: Key[Array, ""], shapes: Sequence[tuple[int, int]], gains: Sequence[float], after: Float[Array, ""]
) -> list[Array]:
    """Kernels of one network from one draw of normals, with the QRs in sequence.

    Args:
        shapes: (rows, columns) of each kernel.
        after: the value that the first QR waits for.
    Returns:
        Kernels `[rows, columns]` float32, W Wᵀ or Wᵀ W = gain² I, uniform (Haar) over such matrices.
    """
    normals = jax.random.normal(key, (sum(rows * columns for rows, columns in shapes),), after.dtype)
    kernels, start = [], 0
    for (rows, columns), gain in zip(shapes, gains, strict=True):
        tall = normals[start : start + rows * columns].reshape(max(rows, columns), min(rows, columns))
        start += rows * columns
        # no compiler may drop 0 · after, which is NaN for a NaN: this QR waits for the previous one
        q, r = jnp.linalg.qr(tall + 0.0 * after)
        q = q * jnp.sign(jnp.diagonal(r))[None]
        kernels.append(gain * (q if rows >= columns else q.T))
        after = q[0, 0]
    return kernels
