"""Value normaliser: its constants, by hand, and its limits."""

# numpy arrays stand in for jax arrays
# pyright: reportArgumentType=false

import jax
import jax.numpy as jnp
import numpy as np

from ltro_jax.ops import denormalise, init_value_norm, normalise, update_value_norm, value_norm_moments
from ltro_jax.ops.value_norm import BETA, VARIANCE_FLOOR


def after(*batches):
    state = init_value_norm()
    for batch in batches:
        state = update_value_norm(state, np.asarray(batch, np.float32))
    return state


def test_constants():
    assert (BETA, VARIANCE_FLOOR) == (0.99999, 1e-2)


def test_before_any_update_the_deviation_is_a_tenth():
    probe = np.array([-5.0, 0.0, 1.0], np.float32)
    np.testing.assert_allclose(normalise(init_value_norm(), probe), probe * 10, rtol=1e-6)
    np.testing.assert_allclose(denormalise(init_value_norm(), probe), probe / 10, rtol=1e-6)


def test_one_update_gives_the_batch_mean_and_variance():
    mean, variance = value_norm_moments(after([[1.0, 3.0], [5.0, 11.0]]))
    np.testing.assert_allclose(mean, 5.0, rtol=1e-4)
    np.testing.assert_allclose(variance, (16 + 4 + 0 + 36) / 4, rtol=1e-3)


def test_two_updates_by_hand():
    """A batch counts once whatever its size; the older one weighs β times the newer."""
    state = after(np.full(3, 2.0), np.full(100, 4.0))
    np.testing.assert_allclose(state.debias, (1 - BETA) * (BETA + 1), rtol=1e-6)
    mean, variance = value_norm_moments(state)
    np.testing.assert_allclose(mean, 3.0, rtol=1e-4)
    np.testing.assert_allclose(variance, 1.0, rtol=1e-3)


def test_variance_floor():
    assert value_norm_moments(after(np.full(10, 0.25)))[1] == np.float32(VARIANCE_FLOOR)


def test_round_trip():
    state, values = after([1.0, 30.0], [-4.0, 2.0]), np.linspace(-20, 20, 7, dtype=np.float32)
    np.testing.assert_allclose(denormalise(state, normalise(state, values)), values, rtol=1e-5, atol=1e-5)


def test_a_constant_stream_keeps_its_mean():
    """Debiasing: the mean is right from the first update on, though β is nearly 1."""
    with jax.enable_x64(True):
        state = jax.tree.map(lambda leaf: leaf.astype(float), init_value_norm())
        for _ in range(50):
            state = update_value_norm(state, np.array([6.0, 8.0]))
            mean, variance = value_norm_moments(state)
            np.testing.assert_allclose([mean, variance], [7.0, 1.0], rtol=1e-9)


def test_equal_to_the_biased_averages_of_the_reference_in_float64():
    """m ← β m + (1 − β) mean(y), q likewise of y²; mean m / d, variance q / d − (m / d)²."""
    batches = np.random.default_rng(0).normal(3.0, 2.0, (200, 6)) + np.linspace(0, 5, 200)[:, None]
    sums, rows = np.zeros(3), []
    for batch in batches:
        sums = BETA * sums + (1 - BETA) * np.array([batch.mean(), np.square(batch).mean(), 1.0])
        rows.append([sums[0] / sums[2], sums[1] / sums[2] - (sums[0] / sums[2]) ** 2, sums[2]])
    with jax.enable_x64(True):
        before = jax.tree.map(lambda leaf: leaf.astype(float), init_value_norm())

        def step(state, batch):
            state = update_value_norm(state, batch)
            return state, jnp.stack([*value_norm_moments(state), state.debias])

        np.testing.assert_allclose(jax.lax.scan(step, before, batches)[1], rows, rtol=1e-10)


def test_deviation_of_a_stationary_stream():
    """Within 1 % in float32 after as many updates as a billion steps make, whatever mean / deviation is."""
    num_updates = 1_000_000
    mean = np.array([0.0, 300.0, 300.0, 1000.0, -1000.0], np.float32)
    std = np.array([1.0, 15.0, 3.0, 10.0, 1.0], np.float32)  # ratios 0, 20, 100, 100, 1000

    def run(mean, std):
        def step(carry, _):
            state, word = carry
            word = word * jnp.uint32(1664525) + jnp.uint32(1013904223) + jnp.arange(4, dtype=jnp.uint32)
            uniform = (word >> 8).astype(jnp.float32) / 2.0**24 - 0.5
            return (update_value_norm(state, mean + std * np.sqrt(12.0) * uniform), word), None

        start = init_value_norm(), jnp.arange(4, dtype=jnp.uint32) << 28
        return jax.lax.scan(step, start, length=num_updates)[0][0]

    state = jax.jit(jax.vmap(run))(mean, std)
    found_mean, variance = jax.vmap(value_norm_moments)(state)
    np.testing.assert_allclose(np.sqrt(variance), std, rtol=1e-2)
    np.testing.assert_allclose((found_mean - mean) / std, 0.0, atol=0.03)
    np.testing.assert_allclose(state.debias, 1 - BETA**num_updates, rtol=1e-5)
