"""Random games with pairs of policies, every quantity of theirs computed in one compiled batch for each shape."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ltro_jax.laboratories import games as theory

SHAPES = ((1, 3, 3), (2, 1, 4), (2, 6, 3), (3, 5, 3), (4, 6, 2), (4, 1, 3))  # N, S, A
GAMES_PER_SHAPE = 175
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
    chi_square: Any  # [N, S] of each agent
    total_variation: Any  # [N, S] of each agent
    position_distance: Any  # [N, S]
    prefix_distance: Any  # [N+1, S]
    clamped: Clamped


class Drawn(NamedTuple):
    """One random problem, before anything is computed."""

    kind: Any
    game: theory.Game
    logits: Any
    new_logits: Any
    order: Any


def draw_game(rng: np.random.Generator, shape: tuple[int, int, int], gamma: float) -> theory.Game:
    """Sparse or flat transitions; drawn by NumPy, since compiling random numbers takes longer than the games do."""
    num_agents, num_states, num_actions = shape
    num_joint = num_actions**num_agents
    reward = rng.uniform(-1.0, 1.0, (num_states, num_joint))
    transition = rng.dirichlet(np.full(num_states, rng.choice([0.2, 1.0])), (num_states, num_joint))
    start = rng.dirichlet(np.ones(num_states))
    return theory.make_game(reward, transition, start, gamma, num_agents)


def draw(rng: np.random.Generator, index: int, shape: tuple[int, int, int]) -> Drawn:
    """Every fourth game ends at once."""
    kind = index % KINDS
    game = draw_game(rng, shape, 0.0 if index % 4 == 0 else rng.uniform(0.0, 0.97))
    return Drawn(kind, game, *pair_of_logits(rng, kind, shape), rng.permutation(shape[0]))


def stacked(trees: list[Any]) -> Any:
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)


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
    distances = (
        theory.chi_square(log_new_policy, log_policy),
        theory.total_variation(log_new_policy, log_policy),
        theory.position_total_variation(factors),
        theory.prefix_total_variation(factors),
    )
    return Cases(drawn.kind, game, log_policy, log_new_policy, order, old, new, factors, *distances, by_clamp)


@pytest.fixture(scope="session", params=SHAPES, ids=lambda shape: "N{}-S{}-A{}".format(*shape))
def cases(request: pytest.FixtureRequest) -> Cases:
    """1,050 games over the shapes; near-deterministic policies, unchanged agents and γ = 0 among them."""
    with theory.float64():
        rng = np.random.default_rng(SHAPES.index(request.param))
        drawn = [draw(rng, index, request.param) for index in range(GAMES_PER_SHAPE)]
        batch = jax.jit(jax.vmap(case))(stacked(drawn))
        batch = batch._replace(clamped=jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), batch.clamped))
        return jax.tree.map(np.asarray, batch)


@pytest.fixture
def x64() -> Iterator[None]:
    with theory.float64():
        yield


@pytest.fixture
def problems(x64: None) -> Callable[..., tuple[theory.Game, Any]]:
    """`problems(seed, (N, S, A), count)`: random games with logits, stacked; one of each if no count is given."""

    def make(seed: int, shape: tuple[int, int, int], count: int | None = None) -> tuple[theory.Game, Any]:
        rng = np.random.default_rng(seed)
        drawn = [(draw_game(rng, shape, rng.uniform(0.0, 0.95)), rng.normal(size=shape)) for _ in range(count or 1)]
        return drawn[0] if count is None else stacked(drawn)

    return make
