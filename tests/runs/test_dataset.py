"""From the metrics of the program to labelled rows."""

# numpy arrays stand in for jax arrays
# pyright: reportArgumentType=false

import numpy as np

from ltro_jax.envs import make_env
from ltro_jax.runs.dataset import metrics_dataset
from ltro_jax.types import Metrics


def test_rows_of_a_frozen_member_are_missing(tiny):
    """Member 1 failed in the second of three iterations; a fourth row was not made."""
    config = tiny(seeds=(3, 7))
    finite = np.array([[True, True, True, False], [True, False, False, False]])
    metrics = Metrics(
        scalar={"finite": finite, "reward": np.ones((2, 4), np.float32), "episodes": np.full((2, 4), 5)},
        position={"kl": np.ones((2, 4, 2), np.float32)},
        agent={},
    )
    spec = make_env(config.static).spec
    dataset = metrics_dataset(metrics, {"score": np.array([1.0, 2.0])}, 11, 3, config, spec)
    assert dataset["iteration"].values.tolist() == [11, 12, 13]
    assert dataset["seed"].values.tolist() == [3, 7]
    np.testing.assert_array_equal(dataset["reward"], [[1, 1, 1], [1, np.nan, np.nan]])
    np.testing.assert_array_equal(dataset["kl"][1, :, 0], [1, np.nan, np.nan])
    np.testing.assert_array_equal(dataset["score"], [[np.nan, np.nan, 1], [np.nan, np.nan, np.nan]])
    assert dataset["finite"].values.tolist() == finite[:, :3].tolist() and dataset["episodes"].values.min() == 5
