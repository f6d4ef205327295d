"""Names of metrics and scores, by hand."""

import numpy as np
import pytest
import xarray as xr

from ltro_jax import SettingsError
from ltro_jax.runs.scoring import (
    choose_metrics,
    end_scores,
    flat_metrics,
    frozen_at,
    member_scores,
    metric_words,
    resolve_metric,
    scored_metric,
)


def dataset() -> xr.Dataset:
    """Two members, ten iterations, evaluated at every second one; the second member is frozen from iteration 9 on."""
    returns = np.stack([np.arange(10.0), 10 + np.arange(10.0)])
    finite = np.ones((2, 10), bool)
    returns[1, 8:], finite[1, 8:] = np.nan, False
    rows = ("member", "iteration")
    evaluated = np.where(np.arange(10) % 2 == 1, 2 * returns, np.nan)
    return xr.Dataset(
        {
            "episode_return": (rows, returns),
            "eval_return_greedy": (rows, evaluated),
            "entropy": ((*rows, "agent"), returns[..., None] * [1.0, -1.0]),
            "finite": (rows, finite),
        },
        {"iteration": np.arange(1, 11)},
    )


def test_the_default_metric():
    assert resolve_metric(["episode_return", "eval_return_greedy"]) == "eval_return_greedy"
    assert resolve_metric(["episode_return", "kl"]) == "episode_return"
    assert resolve_metric(["episode_return", "kl"], "kl") == "kl"
    assert scored_metric(dataset()) == "eval_return_greedy"
    with pytest.raises(
        SettingsError, match="metric = 'entropy' is unknown; available are episode_return, eval_return_gre"
    ):
        scored_metric(dataset(), "entropy")  # one value for each agent


def test_a_score_is_the_mean_of_the_last_fifth_of_what_was_recorded():
    values = dataset()["episode_return"].values
    assert end_scores(values[:1]).tolist() == [8.5]  # two of ten iterations
    assert end_scores(values[:, :4]).tolist() == [3.0, 13.0]  # at least one
    np.testing.assert_array_equal(member_scores(dataset()), [18.0, np.nan])  # one of five evaluations
    assert np.isnan(end_scores(np.full((2, 3), np.nan))).all()
    assert frozen_at(dataset()) == [-1, 9]


def test_flat_names():
    data = dataset()
    assert set(flat_metrics(data)) == {
        "episode_return", "eval_return_greedy", "finite", "agent/entropy/0", "agent/entropy/1"
    }  # fmt: skip
    chosen = choose_metrics(data, ["entropy", "agent/entropy/0"])
    assert list(chosen) == ["agent/entropy/0", "agent/entropy/1"]
    np.testing.assert_array_equal(chosen["agent/entropy/1"], -data["episode_return"].values)
    with pytest.raises(SettingsError, match=r"metric = 'entropie' is unknown; did you mean entropy\?"):
        choose_metrics(data, ["entropie"])


@pytest.mark.parametrize(
    ("metric", "team_reward", "words"),
    [
        ("eval_return_greedy", "shared", "greedy evaluation return"),
        ("eval_win_rate_sampled", "sum", "sampled evaluation win rate"),
        ("episode_return", "mean", "episode return (mean over agents)"),
    ],
)
def test_words_of_a_metric(metric, team_reward, words):
    assert metric_words(metric, team_reward) == words
