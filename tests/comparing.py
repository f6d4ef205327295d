"""Comparison of pytrees, to the last bit or to rounding, and of runs."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from ltro_jax import Run


def bits(leaf: Any) -> tuple[str, tuple[int, ...], bytes]:
    """Dtype, shape and bytes; typed keys by their data."""
    leaf = leaf if hasattr(leaf, "dtype") else jnp.asarray(leaf)
    array = np.asarray(jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf)
    return str(leaf.dtype), array.shape, array.tobytes()


def differing_leaves(one: Any, other: Any) -> list[str]:
    """Paths of the leaves that differ in dtype, shape or any bit."""
    assert jax.tree.structure(one) == jax.tree.structure(other)
    pairs = zip(jax.tree_util.tree_leaves_with_path(one), jax.tree.leaves(other), strict=True)
    return [jax.tree_util.keystr(path) for (path, leaf), twin in pairs if bits(leaf) != bits(twin)]


def assert_same_bits(one: Any, other: Any) -> None:
    """The two trees are alike to the last bit."""
    differing = differing_leaves(one, other)
    assert not differing, f"differ: {', '.join(differing)}"


def assert_same_run(one: Run, other: Run) -> None:
    """All that a run leaves is alike to the last bit: every leaf of the state of every member, and every metric."""
    assert one.finished and other.finished
    mine, theirs = one.restore(), other.restore()
    assert mine.iteration == theirs.iteration == one.config.num_iterations
    assert_same_bits(mine.state, theirs.state)
    xr.testing.assert_identical(one.metrics, other.metrics)
    files = [xr.load_dataset(run.path / "metrics.nc") for run in (one, other)]
    xr.testing.assert_identical(*files)


def assert_close(one: Any, other: Any, rtol: float = 1e-4, atol: float = 1e-5) -> None:
    """Floating-point leaves agree within the tolerances, all others to the last bit."""
    for path in differing_leaves(one, other):
        pairs = zip(jax.tree_util.tree_leaves_with_path(one), jax.tree.leaves(other), strict=True)
        leaf, twin = next((leaf, twin) for (name, leaf), twin in pairs if jax.tree_util.keystr(name) == path)
        assert leaf.dtype == twin.dtype and jnp.issubdtype(leaf.dtype, jnp.floating), f"{path} differs"
        np.testing.assert_allclose(leaf, twin, rtol, atol, err_msg=path)
