"""Float64 in a scope: the games compare numbers to a relative error of about 1e-9, which float32 cannot represent."""

from contextlib import AbstractContextManager

import jax
import jax.numpy as jnp

from ltro_jax.types import Array


def float64() -> AbstractContextManager:
    """A context for building games and for every call that takes them: `with float64():`.

    Nothing outside the block changes; keys may be created inside or outside.
    """
    return jax.enable_x64(True)


def require_float64(**arrays: Array) -> None:
    """Check the precision of arrays.

    Args:
        arrays: by their names in the error.
    Raises:
        TypeError: an array is not float64, or x64 is off at the caller (at trace time).
    """
    exact = jnp.dtype("float64")
    inside = jnp.result_type(float) == exact
    for name, array in arrays.items():
        dtype = jnp.result_type(array)
        if dtype != exact or not inside:
            problem = dtype if inside else "used where float64 is switched off"
            raise TypeError(
                f"{name} is {problem}, but the games need float64: "
                "build the game and call it inside `with ltro_jax.laboratories.games.float64():`"
            )
