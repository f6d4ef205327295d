"""Random games with pairs of policies, every quantity of theirs computed in one compiled batch for each shape."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ltro_jax import theory

SHAPES = ((1, 1, 2), (1, 4, 3), (2, 1, 3), (2, 6, 4), (3, 3, 3), (3, 5, 2), (4, 2, 3), (4, 6, 2), (4, 1, 4))  # N, S, A
GAMES_PER_SHAPE = 150
CLAMPS = (0.3, 1.0, 2.0, np.inf)
KINDS = 5  # of pairs of policies


class Clamped(NamedTuple):
    """What depends on the clamp; leading axes: clamps, games."""

    mean_factor: Any  # [N+1, S]
    second_factor: Any  # [N+1, S]
    excess: Any  # [N+1, S]
    surrogate: Any  # [N, S]
    penalty: Any  # [N, S]
    advantage_bound: Any  # [S]
    second_moment: Any  # [N, S]
    second_moment_bound: Any  # [N, S]
    variance: Any  # [N]
    improvement_bound: Any  # []


class Cases(NamedTuple):
    """Games, changes of policy π → π' and what the library says of them; NumPy, leading axis games."""

    kind: Any
    game: Any
    log_policy: Any
    log_new_policy: Any
    order: Any
    old: Any
    new: Any
    factors: Any
    clamped: Clamped


class Drawn(NamedTuple):
    """One random problem, before anything is computed."""

    kind: Any
    game: theory.Game
    logits: Any
    new_logits: Any
    order: Any


def draw(rng: np.random.Generator, index: int, shape: tuple[int, int, int]) -> Drawn:
    """Sparse and flat transitions; every fourth game ends at once."""
    num_agents, num_states, num_actions = shape
    num_joint = num_actions**num_agents
    game = theory.make_game(
        rng.uniform(-1.0, 1.0, (num_states, num_joint)),
        rng.dirichlet(np.full(num_states, rng.choice([0.2, 1.0])), (num_states, num_joint)),
        rng.dirichlet(np.ones(num_states)),
        0.0 if index % 4 == 0 else rng.uniform(0.0, 0.97),
        num_agents,
    )
    kind = index % KINDS
    return Drawn(kind, game, *pair_of_logits(rng, kind, shape), rng.permutation(num_agents))


def pair_of_logits(rng: np.random.Generator, kind: int, shape: tuple[int, int, int]) -> tuple[Any, Any]:
    """Far apart; near-deterministic (logits × 50); close; very close; some agents unchanged."""
    old, noise = rng.normal(size=shape), rng.normal(size=shape)
    still = rng.random((shape[0], 1, 1)) < 0.5
    new = (noise, 50.0 * noise, old + 0.1 * noise, old + 1e-3 * noise, np.where(still, old, 3.0 * noise))
    return (50.0 * old if kind == 1 else old), new[kind]


def case(drawn: Drawn) -> Cases:
    game, order = drawn.game, drawn.order
    log_policy, log_new_policy = theory.log_policies(drawn.logits), theory.log_policies(drawn.new_logits)
    old, new = (theory.evaluate(game, jnp.exp(x)) for x in (log_policy, log_new_policy))
    factors = theory.sequential_factors(log_new_policy, log_policy, order)

    def clamped(factor_clip: Any) -> Clamped:
        return Clamped(
            theory.mean_clamped_factor(factors, factor_clip),
            theory.second_moment(factors, factor_clip),
            theory.excess(factors, factor_clip),
            theory.surrogates(factors, old.advantage, factor_clip),
            theory.clamp_penalties(factors, old.advantage, factor_clip),
            theory.advantage_bound(factors, old.advantage, factor_clip),
            theory.weighted_second_moment(factors, old.advantage, factor_clip),
            theory.weighted_second_moment_bound(factors, old.advantage, factor_clip),
            theory.weighted_variance(factors, old.advantage, old.state_distribution, factor_clip),
            theory.improvement_bound(factors, old, game.gamma, factor_clip),
        )

    by_clamp = jax.vmap(clamped)(jnp.array(CLAMPS))
    return Cases(drawn.kind, game, log_policy, log_new_policy, order, old, new, factors, by_clamp)


@pytest.fixture(scope="session", params=SHAPES, ids=lambda shape: "N{}-S{}-A{}".format(*shape))
def cases(request: pytest.FixtureRequest) -> Cases:
    """1,350 games over the shapes; near-deterministic policies, unchanged agents and γ = 0 among them."""
    with theory.float64():
        rng = np.random.default_rng(SHAPES.index(request.param))
        drawn = [draw(rng, index, request.param) for index in range(GAMES_PER_SHAPE)]
        batch = jax.jit(jax.vmap(case))(jax.tree.map(lambda *leaves: np.stack(leaves), *drawn))
        batch = batch._replace(clamped=jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), batch.clamped))
        return jax.tree.map(np.asarray, batch)


@pytest.fixture
def x64() -> Iterator[None]:
    with theory.float64():
        yield
