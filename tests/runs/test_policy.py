"""Trained policies: shapes, greedy and sampled actions, masks, unlike agents, and what is refused."""

import pickle
import re
import shutil
import warnings
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparing import assert_same_bits

from ltro_jax import Config, RunError, RunWarning, SettingsError, load_policy, load_run, make_train, train
from ltro_jax.runs import evaluate_members
from ltro_jax.runs.memory import ProgramMemory
from ltro_jax.storage import RunDirectory, checkpoints, save_checkpoint

pytestmark = pytest.mark.usefixtures("shared_programs")


@pytest.fixture(scope="module")
def unlike(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two seeds on the speaker and listener, stored as it is before its first iteration."""
    config: Config = tiny(task="mpe/simple_speaker_listener", algorithm="happo", seeds=(0, 5), episode_length=None)
    directory = RunDirectory.create(tmp_path_factory.mktemp("runs") / "unlike", config.to_dict())
    init = jax.jit(jax.vmap(make_train(config).init, in_axes=(0, None)))
    save_checkpoint(directory.checkpoints, 0, init(jnp.array([0, 5], jnp.uint32), config.hypers), keep=1)
    return directory.path


def test_each_seed_has_its_own_policy(finished):
    state = finished.restore().state
    for index, seed in enumerate((3, 7)):
        own = jax.tree.map(lambda leaf, i=index: leaf[i], state.agents.params)
        assert_same_bits(load_policy(finished.path, seed=seed).params, own)
    assert_same_bits(load_policy(finished.path).params, load_policy(finished.path, seed=3).params)
    earlier = load_policy(finished.path, iteration=4)
    head, later = (policy.params["params"]["head"]["kernel"] for policy in (earlier, load_policy(finished.path)))
    assert (head != later).any()


def test_shapes_and_keys(finished):
    policy = load_policy(finished.path, seed=7)
    assert policy.initial_state() == () and policy.initial_state((5,)) == ()
    assert policy.spec.num_agents == 2
    act = jax.jit(policy.act)
    for batch in ((), (5,), (4, 3)):
        action, state = act(jnp.zeros((*batch, 2, 3)), ())
        assert action.shape == (*batch, 2) and action.dtype == jnp.int32 and state == ()
    observation = jnp.broadcast_to(jnp.eye(3)[0], (100, 2, 3))
    greedy, _ = act(observation, ())
    assert_same_bits(act(observation, ())[0], greedy)
    assert (greedy == greedy[:1]).all()
    sample, again, other = (act(observation, (), key=jax.random.key(seed))[0] for seed in (0, 0, 1))
    assert_same_bits(sample, again)
    assert (sample != other).any() and len(np.unique(np.asarray(sample))) == 3
    vmapped = jax.vmap(lambda one: policy.act(one, ())[0])(observation)
    assert_same_bits(vmapped, greedy)


def test_the_action_mask_is_respected(finished):
    policy = load_policy(finished.path)
    observation = jnp.broadcast_to(jnp.eye(3)[1], (64, 2, 3))
    act = jax.jit(policy.act)
    preferred = act(observation, ())[0]
    only = (preferred + 1) % 3
    mask = np.arange(3) == np.asarray(only)[..., None]
    assert_same_bits(act(observation, (), mask)[0], only)
    assert_same_bits(act(observation, (), mask, jax.random.key(0))[0], only)
    allowed = np.arange(3) != np.asarray(preferred[0])[:, None]  # [N, A], for the whole batch
    sampled = act(observation, (), allowed, jax.random.key(1))[0]
    assert (sampled != preferred).all() and len(np.unique(np.asarray(sampled))) > 1


def test_unlike_agents(unlike):
    policy = load_policy(unlike, seed=5)
    env_state, timestep = jax.jit(policy.env.reset)(jax.random.key(0))
    act = jax.jit(policy.act)
    action, state = act(timestep.observation, policy.initial_state(), timestep.action_mask)
    assert action.shape == (2, 5) and action.dtype == jnp.float32 and state == ()
    assert (action[0, 3:] == 0).all() and (action[1] != 0).all()
    assert_same_bits(act(timestep.observation, ())[0], action)  # by default every action of each agent
    sample, _ = act(timestep.observation, (), None, jax.random.key(2))
    assert (sample[0, 3:] == 0).all() and (sample[0, :3] != action[0, :3]).all()
    rubbish = timestep.observation.at[0, 3:].set(9.0)  # beyond what the speaker sees
    assert_same_bits(act(rubbish, ())[0], action)
    jax.jit(policy.env.step)(jax.random.key(1), env_state, action)


def test_a_policy_with_a_memory_shared_by_numbered_agents(tiny, tmp_path):
    """It acts as the evaluation does: on numbered observations, with the state handed from call to call."""
    config = tiny(task="probe/recall", recurrent=True, share_parameters="all", agent_id=True, episode_length=4)
    run = train(config, tmp_path / "run", progress=False)
    policy = load_policy(run.path)
    assert policy.spec.observation_size == 5 and policy.params["params"]["head"]["kernel"].shape == (1, 8, 3)
    state = policy.initial_state((9,))
    assert state.shape == (9, 2, 8)
    env_state, timestep = jax.vmap(policy.env.reset)(jax.random.split(jax.random.key(0), 9))
    act, step = jax.jit(policy.act), jax.jit(jax.vmap(policy.env.step))
    for _ in range(4):
        before = state
        action, state = act(timestep.observation, before)
        assert action.shape == (9, 2) and (state != before).any()
        env_state, timestep = step(jax.random.split(jax.random.key(1), 9), env_state, action)
    assert timestep.terminated.all()
    shown = jnp.concatenate([jnp.eye(2), jnp.zeros((2, 3)).at[:, 1].set(1.0)], axis=-1)
    first, forgotten = act(shown, policy.initial_state())[1], act(shown, state[0])[1]
    assert (first != forgotten).any()  # the memory matters


@pytest.mark.parametrize("shape", [(3,), (3, 3), (2, 4), (7, 1, 3), ()])
def test_a_wrong_shape_is_refused(finished, shape):
    policy = load_policy(finished.path)
    with pytest.raises(ValueError) as error:
        policy.act(jnp.zeros(shape), ())
    assert str(error.value) == (
        f"observation has shape {shape}; its last two axes must be (2, 3) (agents, observation) for probe/matching"
    )


def test_played_by_hand_it_gets_what_the_evaluation_says(finished):
    evaluation = finished.evaluate(num_episodes=600)
    assert evaluation["eval_length_greedy"].values.tolist() == [3.0, 3.0]
    assert evaluation.attrs == {"episodes": 600, "iteration": 8, "team_reward": "shared", "actors": "newest"}
    for index, seed in enumerate((3, 7)):
        policy = load_policy(finished.path, seed=seed)
        symbols = jnp.eye(3)[:, None, :].repeat(2, axis=1)  # all there is to see, equally likely
        action, _ = policy.act(symbols, policy.initial_state((3,)))
        right = np.all(np.asarray(action) == np.arange(3)[:, None], axis=-1)
        assert evaluation["eval_return_greedy"].values[index] == pytest.approx(3 * right.mean(), abs=0.25)
    assert not (finished.path / "evaluation.json").exists()


def test_the_best_policy_is_that_of_the_best_evaluation(finished):
    """Of the first of them, with the bits that were evaluated."""
    scores = finished.metrics["eval_return_greedy"].values
    state = finished.restore().state
    iterations = np.nanargmax(scores, axis=1) + 1
    assert state.best.iteration.tolist() == iterations.tolist()
    assert state.best.score.tolist() == np.nanmax(scores, axis=1).tolist()
    train = make_train(finished.config)
    for index, seed in enumerate((3, 7)):
        best = load_policy(finished.path, seed=seed, best=True)
        assert_same_bits(best.params, jax.tree.map(lambda leaf, i=index: leaf[i], state.best.params))
        own = jax.tree.map(lambda leaf, i=index: leaf[i], state)
        then = own.replace(agents=own.agents.replace(params=best.params), iteration=own.best.iteration)
        again = jax.jit(train.evaluate)(then, finished.config.hypers)
        np.testing.assert_allclose(again["eval_return_greedy"], own.best.score, rtol=1e-6)


def test_evaluation_in_several_passes(finished, monkeypatch):
    """The mean over all episodes, and new episodes in each pass."""
    monkeypatch.setattr("ltro_jax.runs.evaluate_members.EPISODES_AT_ONCE", 8)
    result = finished.evaluate(20, best=True, kinds=("sampled",))
    assert {str(name) for name in result} == {
        "eval_return_sampled",
        "eval_length_sampled",
        "best_iteration",
        "frozen_at",
    }
    total = 20 * result["eval_return_sampled"].values  # a return is a whole number
    np.testing.assert_allclose(total, np.round(total), atol=1e-4)
    once = finished.evaluate(8, best=True, kinds=("sampled",))
    assert (once["eval_return_sampled"].values != result["eval_return_sampled"].values).any()
    assert result["best_iteration"].values.tolist() == finished.restore().state.best.iteration.tolist()


def test_some_members_alone(finished):
    """As among the others, to the last bit; and bad arguments are one sentence each."""
    everyone, second = finished.evaluate(20), finished.evaluate(20, members=[1])
    assert second["seed"].values.tolist() == [7]
    for name in everyone.data_vars:
        np.testing.assert_array_equal(everyone[name].values[1:], second[name].values)
    for number in (0, -1, 2.5, "20", None, True):
        with pytest.raises(
            SettingsError, match=r"^num_episodes = .* is not allowed; it must be a whole number, at least 1$"
        ):
            finished.evaluate(number)
    assert finished.evaluate(np.int64(20), members=[0]).attrs["episodes"] == 20
    for kinds in ("greedy", (), ("best",)):
        with pytest.raises(SettingsError, match=r"^kinds = .* is not allowed; give some of"):
            finished.evaluate(20, kinds=kinds)
    for members in ([], [2], [-1]):
        with pytest.raises(SettingsError, match=r"^members = .* is not allowed; give indices from 0 to 1$"):
            finished.evaluate(20, members=members)


def test_evaluation_is_fitted_into_memory(tiny, stored, tmp_path, monkeypatch):
    """Groups as in training, smaller ones where XLA plans too much, and half of it where memory runs out anyway."""
    run = load_run(stored(tiny(seeds=(1, 2, 3, 4), members_at_once=4), tmp_path / "run", iteration=2))
    make, groups = evaluate_members.make_member_program, []

    def small_memory(program: Any, count: int, layout: Any) -> Any:
        groups.append(layout.at_once)
        members = make(program, count, layout)

        def collect(tree: Any) -> Any:
            if layout.at_once > 1:
                raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
            return members.collect(tree)

        return members._replace(collect=collect)

    plan = ProgramMemory(states=100, working=800)
    with monkeypatch.context() as patch:
        patch.setattr(evaluate_members, "make_member_program", small_memory)
        patch.setattr(
            evaluate_members, "program_memory", lambda compiled: plan if groups[-1] > 2 else ProgramMemory(0, 0)
        )
        patch.setattr("ltro_jax.runs.memory.device_memory", lambda device: 500)
        fitted = run.evaluate(4, kinds=("greedy",))
        assert groups == [4, 2, 1]
        patch.setattr("ltro_jax.runs.memory.is_out_of_memory", lambda error: False)
        with pytest.raises(jax.errors.JaxRuntimeError):
            run.evaluate(4, kinds=("greedy",))
    alone = run.evaluate(4, kinds=("greedy",), members=[3])
    np.testing.assert_array_equal(fitted["eval_return_greedy"][3:], alone["eval_return_greedy"])


def test_one_policy_reads_its_own_leaves(finished, monkeypatch):
    read = []
    wrapped = checkpoints._wrapped
    monkeypatch.setattr(checkpoints, "_wrapped", lambda array, *rest: read.append(array) or wrapped(array, *rest))
    actors = finished.restore_actors(member=1).state
    assert actors.critic is actors.env_state is actors.agents.opt_state is actors.best is None
    assert {type(leaf) for leaf in jax.tree.leaves(actors.agents.params)} == {np.ndarray}
    assert len(read) == len(jax.tree.leaves(actors)) < len(jax.tree.leaves(finished.restore().state)) / 4
    assert actors.agents.params["params"]["head"]["kernel"].shape == (2, 8, 3)  # without the axis of members


def test_runs_and_policies_are_passed_between_processes(finished, monkeypatch, tmp_path):
    monkeypatch.chdir(finished.path.parent)
    run = load_run(finished.path.name)
    assert run.path == Path(finished.path.name) and run.metrics.sizes["member"] == 2
    monkeypatch.chdir(tmp_path)  # a relative path was where the run was opened
    other = pickle.loads(pickle.dumps(run))
    assert len(pickle.dumps(run)) < 10_000 and other == run and other.config == run.config
    assert other.metrics.identical(run.metrics) and other.finished
    policy = load_policy(finished.path, seed=7)
    again = pickle.loads(pickle.dumps(policy))
    assert again.spec == policy.spec == pickle.loads(pickle.dumps(policy.spec)) and again.hypers == policy.hypers
    assert_same_bits(again.params, policy.params)
    observation = jnp.eye(3)[:2]
    assert_same_bits(again.act(observation, ())[0], policy.act(observation, ())[0])


def damaged_newest(path: Path, finished: Any) -> Path:
    shutil.copytree(finished.path, path)
    (path / "checkpoints" / ".writing-12").mkdir()  # a process that trains writes it; no damage
    (path / "checkpoints" / "000000008" / "leaves.json").unlink()
    return path


def test_a_damaged_checkpoint_is_named_with_the_one_used(finished, tmp_path):
    path = damaged_newest(tmp_path / "run", finished)
    words = r"checkpoint 000000008 of .* is damaged \(leaves\.json: missing\); checkpoint 000000004 is used"
    for read in (
        lambda: load_policy(path),
        lambda: load_policy(path, best=True),
        lambda: load_run(path).restore(),
        lambda: load_run(path).evaluate(4, members=[0]),
    ):
        with pytest.warns(RunWarning) as warned:
            read()
        assert [re.fullmatch(words, str(warning.message)) is not None for warning in warned] == [True]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_policy(path, iteration=4)


def test_no_best_policy(tiny, stored, tmp_path):
    frozen = stored(tiny(), tmp_path / "frozen")  # before its first evaluation
    with pytest.raises(RunError, match=r"^seed 0 of .* was not evaluated before it was frozen; leave out best$"):
        load_policy(frozen, best=True)
    assert np.isnan(load_run(frozen).evaluate(2, best=True)["eval_return_greedy"]).all()
    without = load_run(stored(tiny(eval_episodes=0), tmp_path / "without"))
    with pytest.raises(RunError, match=r"keeps no best policies \(eval_episodes = 0\); leave out best$"):
        without.evaluate(2, best=True)


def test_what_there_is_not(finished, tmp_path):
    with pytest.raises(RunError) as error:
        load_policy(finished.path, seed=4)
    assert str(error.value) == f"seed 4 is not in {finished.path}; it has the seeds 3, 7"
    with pytest.raises(RunError, match="no checkpoint of iteration 6; available: 4, 8"):
        load_policy(finished.path, iteration=6)
    with pytest.raises(RunError, match="there is no run"):
        load_policy(tmp_path / "nowhere")
    run = load_run(finished.path)
    assert run.finished and run.iteration == 8 and run.member(7) == 1 and run.path == finished.path
