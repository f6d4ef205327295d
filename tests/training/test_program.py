"""The training program as a whole: pure, compiled once, frozen when it fails, untouched by evaluation."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparing import assert_same_bits, differing_leaves
from tasks import task_params

from ltro_jax import Config, Hypers, SettingsError, Train, load_preset, make_train
from ltro_jax.algorithms import ALGORITHMS, FACTOR_RULES
from ltro_jax.parallel import MemberProgram, make_member_program, stack_hypers
from ltro_jax.training.parts import annealed

NUM_MEMBERS = 3


class Program(NamedTuple):
    """Settings and everything compiled from them, shared by this file's tests."""

    config: Config
    train: Train
    members: MemberProgram
    states: Any  # [3] after one device call of 2 iterations, on the host
    metrics: Any
    evaluation: Any


def advance(program: Program, states: Any, hypers: Hypers, count: int = 2) -> Any:
    """One device call on copies (the program takes over what it is given); everything back on the host."""
    states = program.members.place(jax.tree.map(jnp.copy, states))
    return program.members.advance(states, hypers, jnp.int32(count))


def same_for_all(config: Config, **changes: float) -> Hypers:
    return stack_hypers([config.hypers.replace(**changes)] * NUM_MEMBERS)


@pytest.fixture(scope="module")
def program(tiny) -> Program:
    config = tiny(num_agents=3, anneal_lr=True, episode_length=2)
    train = make_train(config)
    members = make_member_program(train, NUM_MEMBERS)
    hypers = same_for_all(config)
    initial = members.init(jnp.arange(NUM_MEMBERS, dtype=jnp.uint32), hypers)
    return Program(config, train, members, *members.advance(initial, hypers, jnp.int32(2)))


def test_compiles_once_for_all_hyper_parameters(program):
    assert program.members.advance._cache_size() == 1
    for changes in ({}, {"actor_lr": 1e-3}, {"gamma": 0.5, "factor_clip": float("inf")}, {"clip_eps": 0.1}):
        advance(program, program.states, same_for_all(program.config, **changes), count=1)
    assert program.members.advance._cache_size() == 1


def test_metrics_are_finite_and_the_first_agent_has_factor_one(program):
    scalar, position, agent = program.metrics
    shapes = {"scalar": (3, 2), "position": (3, 2, 3), "agent": (3, 2, 3)}
    for group, rows in (("scalar", scalar), ("position", position), ("agent", agent)):
        for name, values in rows.items():
            assert values.shape == shapes[group] and np.isfinite(values).all(), name
    for name in ("factor_mean", "factor_max", "factor_min"):
        np.testing.assert_array_equal(position[name][..., 0], 1.0)
    np.testing.assert_array_equal(position["factor_above_one"][..., 0], 0.0)
    np.testing.assert_allclose(position["factor_ess"][..., 0], 32.0, rtol=1e-5)
    np.testing.assert_array_equal(position["adv_variance_raw"][..., 0], position["adv_variance_clip1"][..., 0])
    np.testing.assert_array_equal(position["adv_variance_used"], position["adv_variance_clip1"])
    np.testing.assert_array_equal(np.sort(position["agent_order"], axis=-1), np.broadcast_to(np.arange(3), (3, 2, 3)))
    assert scalar["finite"].all() and (scalar["episodes"] == 16).all() and (scalar["episode_length"] == 2).all()
    assert set(program.evaluation) == {
        f"eval_{what}_{how}" for what in ("return", "length") for how in ("greedy", "sampled")
    }
    assert (program.evaluation["eval_length_greedy"] == 2).all()


def test_unclipped_factor_uses_the_raw_variance(program):
    hypers = same_for_all(program.config, factor_clip=float("inf"))
    _, metrics, _ = advance(program, program.states, hypers)
    position = metrics.position
    np.testing.assert_array_equal(position["adv_variance_used"], position["adv_variance_raw"])
    assert (position["factor_above_clip"] == 0).all() and (position["factor_max"][..., 1:] > 1).any()


def test_a_broken_member_is_frozen_and_the_others_go_on(program):
    good = same_for_all(program.config)
    bad = good.replace(actor_lr=good.actor_lr.at[1].set(jnp.inf))
    expected, _, _ = advance(program, program.states, good)
    states, metrics, _ = advance(program, program.states, bad)

    def member(tree: Any, index: int) -> Any:
        return jax.tree.map(lambda leaf: leaf[index], tree)

    for index in (0, 2):
        assert_same_bits(member(states, index), member(expected, index))
    assert states.failed_at.tolist() == [-1, 3, -1] and states.iteration.tolist() == [4, 4, 4]
    assert metrics.scalar["finite"].tolist() == [[True, True], [False, False], [True, True]]
    assert differing_leaves(member(states, 1), member(program.states, 1)) == [".iteration", ".failed_at"]
    later, _, _ = advance(program, states, good)  # a cure comes too late
    assert differing_leaves(member(later, 1), member(states, 1)) == [".iteration"]
    assert later.failed_at.tolist() == [-1, 3, -1]


def test_evaluation_does_not_touch_training(program, tiny):
    config = program.config.replace(eval_episodes=0)
    members = make_member_program(make_train(config), NUM_MEMBERS)
    hypers = same_for_all(config)
    initial = program.members.init(jnp.arange(NUM_MEMBERS, dtype=jnp.uint32), hypers)
    states, metrics, evaluation = members.advance(initial, hypers, jnp.int32(2))
    assert evaluation == {} and states.best.iteration.tolist() == [0] * NUM_MEMBERS  # nothing is kept
    assert_same_bits((states.replace(best=program.states.best), metrics), (program.states, program.metrics))


def test_the_best_actors_are_kept(program):
    """Those of the highest greedy return so far, with the bits that got it; a lower return changes nothing."""
    states, score = program.states, program.evaluation["eval_return_greedy"]
    assert states.best.iteration.tolist() == [2] * NUM_MEMBERS
    assert_same_bits((states.best.params, states.best.score), (states.agents.params, score))
    ahead = states.replace(best=states.best.replace(score=jnp.array([-1.0, 9.0, -1.0])))  # 9 is never reached
    later, _, evaluation = advance(program, ahead, same_for_all(program.config))
    assert later.best.iteration.tolist() == [4, 2, 4] and later.best.score[1] == 9.0
    kept = [jax.tree.map(lambda leaf, i=i: leaf[i], (later.best.params, later.agents.params)) for i in range(3)]
    assert [not differing_leaves(best, last) for best, last in kept] == [True, False, True]
    assert_same_bits(later.best.score[0], evaluation["eval_return_greedy"][0])


def test_learning_rates_fall_linearly_to_zero(program):
    hypers, parts = program.config.hypers, program.train.parts
    assert parts.num_iterations == 8
    for iteration in (0, 2, 6, 8):
        now = annealed(hypers, jnp.int32(iteration), parts)
        assert now.actor_lr == pytest.approx(hypers.actor_lr * (1 - iteration / 8))
        assert now.critic_lr == pytest.approx(hypers.critic_lr * (1 - iteration / 8))
        assert now.replace(actor_lr=0, critic_lr=0) == hypers.replace(actor_lr=0, critic_lr=0)
    constant = parts._replace(static=program.config.replace(anneal_lr=False).static)
    assert annealed(hypers, jnp.int32(6), constant) == hypers
    at_the_end = program.states.replace(iteration=jnp.full(NUM_MEMBERS, 8, jnp.int32))
    states, _, _ = advance(program, at_the_end, same_for_all(program.config), count=1)
    assert_same_bits(states.agents.params, program.states.agents.params)
    assert_same_bits(states.critic.params, program.states.critic.params)


def test_no_callback_and_no_transfer_inside(program):
    state = jax.tree.map(lambda leaf: leaf[0], program.states)
    text = jax.jit(program.train.advance).lower(state, program.config.hypers, 2).as_text()
    assert len(text) > 10_000
    for word in ("callback", "infeed", "outfeed", "stablehlo.send", "stablehlo.recv"):
        assert word not in text


@pytest.mark.parametrize(
    "settings",
    [
        {"algorithm": "a2po"},
        {"algorithm": "ippo", "recurrent": True},
        {"algorithm": "clip_hatrpo", "recurrent": True, "critic_input": "agent_state"},
        {"algorithm": "happo", "share_parameters": "all", "agent_id": True, "critic_input": "agent_state"},
        {"algorithm": "haa2c", "share_parameters": "groups", "factor_rule": "per_agent_clamp"},
        {"algorithm": "mappo", "share_parameters": "all", "recurrent": True},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
@pytest.mark.parametrize("task", task_params())
def test_every_task_keeps_the_shape_of_its_state(task, settings, tiny):
    """Traced, not compiled: the state that comes out is of the kind that went in."""
    config = tiny(task=task, episode_length=None, **settings)
    train = make_train(config)
    state = jax.eval_shape(train.init, 0, config.hypers)
    after, metrics = jax.eval_shape(train.iterate, state, config.hypers)
    assert jax.tree.structure(after) == jax.tree.structure(state)

    def avals(tree: Any) -> Any:
        return [(leaf.shape, leaf.dtype, leaf.weak_type) for leaf in jax.tree.leaves(tree)]

    assert avals(after) == avals(state)
    assert not any(weak for _, _, weak in avals(after))
    num_agents = train.parts.spec.num_agents
    assert {leaf.shape for leaf in metrics.agent.values()} == {(num_agents,)}
    assert {leaf.shape for leaf in metrics.position.values()} == {(num_agents,)}
    assert {leaf.shape for leaf in metrics.scalar.values()} == {()}


@pytest.mark.parametrize(
    "settings, sentence",
    [
        ({"algorithm": "ppo"}, "algorithm = 'ppo' is unknown; allowed are clip_happo, happo, "),
        ({"task": "probe/matchin"}, "task = 'probe/matchin' is unknown; did you mean probe/matching? allowed are"),
        ({"task": "mpe/simple_reference", "num_agents": 3}, "num_agents = 3 cannot be chosen for mpe/simple_reference"),
        (
            {"algorithm": "hatrpo", "share_parameters": "all"},
            "share_parameters = all is not possible with algorithm = 'hatrpo'; choose one of clip_happo, happo, haa2c",
        ),
        (
            {"algorithm": "ippo", "critic_input": "agent_state"},
            "critic_input = 'agent_state' has no meaning with algorithm = 'ippo', whose critics read",
        ),
        ({"std_y_coef": 0.3}, "std_y_coef = 0.3 has no meaning on probe/matching with discrete actions; leave it out"),
        (
            {"algorithm": "hatrpo", "actor_lr": 0.001},
            "actor_lr = 0.001 has no meaning with algorithm = 'hatrpo'; leave it out (only clip_happo, happo, "
            "a2po, haa2c, mappo, ippo read it)",
        ),
        *(({"algorithm": "clip_hatrpo", name: 1}, f"{name} = 1") for name in ("actor_epochs", "actor_minibatches")),
        ({"algorithm": "hatrpo", "ent_coef": 0.01}, "ent_coef = 0.01 has no meaning with algorithm = 'hatrpo'"),
        *(({name: 0.5}, f"{name} = 0.5 has no") for name in ("kl_threshold", "accept_ratio", "backtrack_coeff")),
        *(({"algorithm": "ippo", name: 5}, f"{name} = 5 has no meaning") for name in ("ls_steps", "cg_iterations")),
        ({"algorithm": "mappo", "factor_clip": 1}, "factor_clip = 1.0 has no meaning with algorithm = 'mappo'"),
        ({"algorithm": "ippo", "agent_order": "fixed"}, "agent_order = 'fixed' has no meaning with algorithm = 'ippo'"),
        ({"grid": "kl_threshold=0.01,0.1"}, "grid = kl_threshold=… has no meaning with algorithm = 'clip_happo'"),
        ({"grid": "std_x_coef=1,2"}, "grid = std_x_coef=… has no meaning on probe/matching with discrete actions"),
        (
            {"chunk_length": 8},
            "chunk_length = 8 has no effect with recurrent = False; leave it out or change recurrent",
        ),
        ({"actor_epochs": 0, "ent_coef": 0.1}, "ent_coef = 0.1 has no effect with actor_epochs = 0"),
        ({"critic_epochs": 0, "critic_lr": 0.1}, "critic_lr = 0.1 has no effect with critic_epochs = 0"),
        (
            {"algorithm": "hatrpo", "ls_steps": 1, "backtrack_coeff": 0.5},
            "backtrack_coeff = 0.5 has no effect with ls_",
        ),
    ],
)
def test_refused_before_anything_is_compiled(settings, sentence, tiny):
    config = tiny(**({"episode_length": None} | settings))
    with pytest.raises(SettingsError) as error:
        make_train(config)
    assert str(error.value).startswith(sentence)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_nobody_chose_is_never_refused(algorithm, tiny):
    """A preset's values, those of a stored run, and what the algorithm reads although another does not."""
    config = load_preset("smax/3m", algorithm)
    assert make_train(config).parts.static == config.static
    for every in (tiny(algorithm=algorithm), Config.stored(config.to_dict() | {"grid": "actor_lr=0.1,0.2"})):
        make_train(every)
    rule = FACTOR_RULES[tiny(algorithm=algorithm).static.factor_rule]
    unread = frozenset().union(*(other.reads for other in FACTOR_RULES.values())) - rule.reads
    names = ALGORITHMS[algorithm].settings() - unread - {"factor_rule", "agent_order"}
    make_train(tiny(algorithm=algorithm, **{name: value for name, value in tiny().to_dict().items() if name in names}))


def test_float64_is_refused_in_one_sentence(program):
    with (
        jax.enable_x64(True),
        pytest.raises(SettingsError, match="JAX_ENABLE_X64 is on, but training uses float32; un"),
    ):
        make_train(program.config)
