"""Orders by advantage: scores by hand, ties, and the alternation of the best and a random agent."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ltro_jax.algorithms.agent_orders import ORDERS
from ltro_jax.ops import advantage_scores, greedy_order, random_picks, semi_greedy_order
from ltro_jax.types import AgentBatch

SCORES = jnp.array([0.3, 2.0, 1.0, 0.5, 3.0])  # best first: 4, 1, 2, 3, 0


def test_scores_by_hand():
    """Means of |A / V| over all samples: (1/2 + 4) / 2 and (3 + 0) / 2."""
    advantage = jnp.array([[[1.0], [-2.0]], [[-3.0], [0.0]]])
    value = jnp.array([[[-2.0], [0.5]], [[1.0], [-5.0]]])
    np.testing.assert_allclose(advantage_scores(advantage, value), [2.25, 1.5], rtol=1e-6)


def test_a_value_of_0_gives_no_nan():
    scores = np.array(advantage_scores(jnp.array([[0.0, 2.0], [1.0, 2.0]]), jnp.array([[0.0, 1.0], [0.0, 1.0]])))
    assert scores[0] == 1.0 and scores[1] > 1e30
    np.testing.assert_array_equal(greedy_order(jnp.asarray(scores)), [1, 0])


def test_greedy_is_descending_and_the_lower_index_comes_first_in_a_tie():
    np.testing.assert_array_equal(greedy_order(SCORES), [4, 1, 2, 3, 0])
    np.testing.assert_array_equal(greedy_order(jnp.array([1.0, 2.0, 1.0, 2.0])), [1, 3, 0, 2])
    np.testing.assert_array_equal(greedy_order(-SCORES), [0, 3, 2, 1, 4])


@pytest.mark.parametrize(
    "picks, expected",
    [
        ([0, 0], [4, 1, 2, 3, 0]),
        ([3, 0], [4, 0, 1, 2, 3]),  # after 4: 1, 2, 3, 0 remain and number 3 is agent 0; then the best is 1
        ([1, 1], [4, 2, 1, 0, 3]),
    ],
)
def test_semi_greedy_by_hand(picks, expected):
    np.testing.assert_array_equal(semi_greedy_order(SCORES, jnp.array(picks)), expected)


def published_order(scores, picks):
    """The list of the paper: its first element, then a drawn one, until it is empty."""
    left = sorted(range(len(scores)), key=lambda agent: (-scores[agent], agent))
    order = []
    for step in range(len(scores)):
        order.append(left.pop(0 if step % 2 == 0 else picks[step // 2]))
    return order


@pytest.mark.parametrize("num_agents", [1, 2, 3, 4, 5])
def test_semi_greedy_is_the_list_of_the_paper_for_all_picks(num_agents):
    scores = np.random.default_rng(num_agents).normal(size=num_agents).astype(np.float32)
    every_pick = list(itertools.product(*(range(left) for left in range(num_agents - 1, 0, -2))))
    picks = np.array(every_pick, np.int32).reshape(len(every_pick), num_agents // 2)
    orders = jax.vmap(lambda pick: semi_greedy_order(scores, pick))(picks)
    np.testing.assert_array_equal(orders, [published_order(scores, pick) for pick in picks.tolist()])


def test_random_picks_are_uniform_over_what_remains():
    keys = jax.random.split(jax.random.key(0), 4000)
    picks = np.array(jax.vmap(lambda key: random_picks(key, 5))(keys))
    assert picks.shape == (4000, 2)
    for column, left in enumerate((4, 2)):
        np.testing.assert_allclose(np.bincount(picks[:, column]) / 4000, np.full(left, 1 / left), atol=0.03)
    assert random_picks(keys[0], 1).shape == (0,)


def test_the_orders_of_a_batch():
    """Agent 1 has the largest |A / V|, agent 0 the smallest."""
    advantage = jnp.array([1.0, -5.0, 2.0])[:, None, None] * jnp.ones((3, 4, 2))
    nothing = dict.fromkeys(("observation", "action", "action_mask", "active_mask"))
    batch = AgentBatch(
        **nothing,  # type: ignore[arg-type]
        log_prob=jnp.zeros((3, 4, 2)),
        advantage=advantage,
        critic_output=jnp.full((3, 4, 2), -2.0),
    )
    keys = jax.random.split(jax.random.key(1), 50)
    every = {name: np.array([order(key, batch) for key in keys]) for name, order in ORDERS.items()}
    assert np.all(every["fixed"] == [0, 1, 2]) and np.all(every["greedy"] == [1, 2, 0])
    assert {tuple(order) for order in every["semi_greedy"].tolist()} == {(1, 2, 0), (1, 0, 2)}
    assert len({tuple(order) for order in every["random"].tolist()}) == 6
