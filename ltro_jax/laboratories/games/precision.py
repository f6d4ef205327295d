"""Float64, in a scope: the laboratory compares numbers to about 1e-9 of their size, which float32 cannot hold."""

from contextlib import AbstractContextManager

import jax
import jax.numpy as jnp

from ltro_jax.types import Array


def float64() -> AbstractContextManager:
    """The one way in: `with float64():` around building games and around every call that takes them.

    Nothing outside the block changes; keys may be made on either side.
    """
    return jax.enable_x64(True)


def require_float64(**arrays: Array) -> None:
    """Refuse whatever is not exact.

    Args:
        arrays: by the name the error should use.
    Raises:
        TypeError: an array is not float64, or x64 is off where the caller stands (at trace time).
    """
    exact = jnp.dtype("float64")
    inside = jnp.result_type(float) == exact
    for name, array in arrays.items():
        dtype = jnp.result_type(array)
        if dtype != exact or not inside:
            found = dtype if inside else "used where float64 is switched off"
            raise TypeError(
                f"{name} is {found}, but the theory laboratory is exact in float64 only: "
                "build the game and call it inside `with ltro_jax.laboratories.games.float64():`"
            )
