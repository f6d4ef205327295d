"""The recorded numbers of the published implementation, replayed; and proof that the replay notices what is wrong."""

import functools
import json
from pathlib import Path

import jax
import numpy as np
import parity
import pytest
from replay.actors import Agents
from replay.comparison import Tolerance, compare, tolerance_of
from replay.fixtures import HYPERPARAMETERS, Fixture
from replay.registry import REPLAYS, find_replay

GOLDEN = Path(__file__).parent / "golden"
ROUNDING = parity.load_rounding(GOLDEN)
FILES = sorted(GOLDEN.glob("*.npz"))
UNPREDICTED = ("max_final_param_change_if_batch_is_shuffled", "max_param_change_if_batch_is_shuffled")


def arrays_of(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / f"{name}.npz") as file:
        return dict(file)


def recorded(fixture: Fixture) -> list[str]:
    """Outputs that a replay has to match, with prefix."""
    return [name for name in fixture.arrays if name.startswith(("out.", "out64.")) and not name.endswith(UNPREDICTED)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_recorded_array_is_met(path):
    comparisons = list(parity.replay_file(path, ROUNDING))
    assert [str(comparison) for comparison in comparisons if not comparison.passed] == []
    assert len(comparisons) == len(recorded(Fixture.load(path))) > 0


def test_every_replay_has_a_golden_file():
    assert {find_replay(path.stem) for path in FILES} == set(REPLAYS.values())


def test_x64_stays_in_its_scope():
    list(parity.replay_file(GOLDEN / "gae.npz", ROUNDING))
    assert jax.numpy.zeros(1).dtype == np.float32


# ---- what must fail does


@pytest.fixture
def run(tmp_path, capsys):
    """Write one file into a new directory, run the program over it: exit status, lines printed."""

    def write_and_run(name, arrays, *arguments):
        np.savez(tmp_path / f"{name}.npz", **arrays)
        (tmp_path / "float32_vs_float64.json").write_text(json.dumps(ROUNDING))
        status = parity.main([str(tmp_path), *arguments])
        return status, capsys.readouterr().out.splitlines()

    return write_and_run


def test_an_untouched_copy_passes(run):
    status, lines = run("gae", arrays_of("gae"))
    assert status == 0
    assert lines[-1] == "16 passed, 0 failed"
    assert len(lines) == 17
    assert all("max_abs" in line and "rel" in line and line.endswith("pass") for line in lines[:-1])


@pytest.mark.parametrize("name, change", [("out64.advantages", 1e-5), ("out.returns", 1e-2)])
def test_a_perturbed_output_fails(run, name, change):
    arrays = arrays_of("gae")
    arrays[name] = arrays[name].copy()
    arrays[name].flat[3] += change
    status, lines = run("gae", arrays)
    assert status == 1
    assert lines[-1] == "15 passed, 1 failed"
    assert [line.split()[1] for line in lines if "FAIL" in line] == [name]


def test_a_perturbed_input_fails(run):
    arrays = arrays_of("value_norm")
    arrays["batches"] = arrays["batches"] * np.float32(1.001)
    assert run("value_norm", arrays)[0] == 1


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_recorded_nan_or_infinity_is_never_met(run, value):
    arrays = arrays_of("gae")
    arrays["out64.returns"] = np.full_like(arrays["out64.returns"], value)
    assert run("gae", arrays)[1][-1] == "15 passed, 1 failed"


def test_a_wrong_whole_number_fails(run):
    arrays = arrays_of("policy_categorical")
    arrays["out64.mode_actions"] = arrays["out64.mode_actions"].copy()
    arrays["out64.mode_actions"][0] += 1
    assert run("policy_categorical", arrays)[1][-1] == "21 passed, 1 failed"


def test_a_wrong_shape_fails(run):
    arrays = arrays_of("gae")
    arrays["out.returns"] = arrays["out.returns"][..., 0]
    assert run("gae", arrays)[1][-1] == "15 passed, 1 failed"


def test_an_extra_output_fails_unless_it_describes_the_recording(run):
    arrays = arrays_of("gae")
    extra = {"out.max_change_if_batch_is_shuffled": np.float32(0)}
    assert run("gae", arrays | extra)[1][-1] == "16 passed, 0 failed"
    extra = {"out.surprise": np.float32(0), "out64.surprise": np.float64(0)}
    assert run("gae", arrays | extra)[1][-1] == "16 passed, 2 failed"
    del extra["out64.surprise"]
    status, lines = run("gae", arrays | extra)
    assert status == 1
    assert lines[-1] == "16 passed, 2 failed"


def test_an_unknown_file_fails_unless_skipped(run):
    arrays = arrays_of("gae")
    status, lines = run("novelty", arrays)
    assert status == 1
    assert lines[-1] == "0 passed, 1 failed"
    for pattern in ("nov*", "novelty", "novelty.npz", "*[x-z].npz"):
        status, lines = run("novelty", arrays, "--skip", "other*", "--skip", pattern)
        assert status == 0
        assert lines == ["novelty.npz  skipped", "0 passed, 0 failed"]


def test_a_file_that_cannot_be_replayed_fails(run, tmp_path):
    arrays = arrays_of("gae")
    del arrays["rewards"]
    assert run("gae", arrays)[1][-1] == "0 passed, 2 failed"
    arrays = arrays_of("gae")
    without = {name: array for name, array in arrays.items() if not name.startswith("out")}
    assert run("gae", without)[1][-1] == "0 passed, 1 failed"
    (tmp_path / "gae.npz").write_text("not an archive")
    assert parity.main([str(tmp_path)]) == 1


def test_an_unsupported_setting_is_refused(run):
    arrays = arrays_of("critic_update")
    settings = json.loads(str(arrays[HYPERPARAMETERS])) | {"critic_num_mini_batch": 2}
    arrays[HYPERPARAMETERS] = np.array(json.dumps(settings))
    status, lines = run("critic_update", arrays)
    assert status == 1
    assert "critic_num_mini_batch = 2" in lines[0]


def test_an_empty_directory_fails(tmp_path):
    assert parity.main([str(tmp_path)]) == 1


# ---- tolerances


def test_tolerances():
    tolerance = functools.partial(
        tolerance_of, "file", rounding={"file": {"ratio": 1e-6, "final_params (max abs)": 1e-6}}
    )
    assert tolerance("agent0.ratio", "out64") == Tolerance(1e-9, False)
    assert tolerance("agent1.step_dir.dense0.bias", "out64") == Tolerance(1e-7, False)
    assert tolerance("agent1.ratio", "out") == Tolerance(30 * 1e-6, False)
    assert tolerance("agent1.final_params.norm0.scale", "out") == Tolerance(30 * 1e-6, True)
    assert tolerance("epoch2.params.norm0.scale", "out") == Tolerance(30 * 1e-6, True)
    assert tolerance("agent1.surrogate_loss_before", "out64") == Tolerance(1e-9, True)
    listed = {"file": {"final_params (max abs)": 1e-9, "kl": 1e-9}}
    assert tolerance_of("file", "agent7.kl", "out", listed) == Tolerance(1e-5, False)
    assert tolerance_of("file", "agent7.final_params.head.bias", "out", listed) == Tolerance(1e-5, True)


def test_tolerances_of_outputs_listed_for_agent_k():
    listed = {"agentK.kl": 1e-6, "v.agentK.returns": 2e-6, "per_epoch.kl": 9e-6, "reported.order_1_kl": 1e-6}
    tolerance = functools.partial(tolerance_of, "file", precision="out", rounding={"file": listed})
    assert tolerance("agent3.kl") == Tolerance(30 * 1e-6, False)
    assert tolerance("v.agent12.returns") == Tolerance(30 * 2e-6, False)
    assert tolerance("reported.order_1_kl") == tolerance("reported.order_0_kl") == Tolerance(30 * 9e-6, False)


def test_means_of_terms_that_cancel_are_compared_absolutely():
    small, large = np.array([1e-3, -1e-3]), np.array([10.0, -10.0])
    for name, absolute in [("agent0.per_epoch.kl", True), ("reported.advantage", True), ("agent0.kl", False)]:
        assert compare(name, small, small + 1e-7, Tolerance(1e-6, False)).passed == absolute
        assert not compare(name, small, small + 1e-5, Tolerance(1e-6, False)).passed
        assert compare(name, large, large + 1e-6, Tolerance(1e-6, False)).passed


def test_the_rounding_of_all_recordings_is_read(tmp_path):
    (tmp_path / "float32_vs_float64.json").write_text(json.dumps({"gae": {"returns": 1e-7}}))
    (tmp_path / "a2po_float32_vs_float64.json").write_text(json.dumps({"a2po_order": {"greedy.scores": 1e-8}}))
    assert parity.load_rounding(tmp_path) == {"gae": {"returns": 1e-7}, "a2po_order": {"greedy.scores": 1e-8}}
    assert {"gae", "a2po_trace", "a2po_actor_pass_discrete_far"} <= ROUNDING.keys()


def test_masked_logits_do_not_drown_the_others():
    expected = np.array([-1e10, -1.0, -2.0])
    wrong = np.array([-1e10, -1.0, -2.001])
    assert not compare("x", wrong, expected, Tolerance(1e-6, False)).passed
    assert compare("x", expected, expected, Tolerance(1e-6, False)).passed
    assert not compare("x", np.array([-2e10, -1.0, -2.0]), expected, Tolerance(1e-6, False)).passed


# ---- sizes are read from the file


@pytest.mark.parametrize("kind", ["discrete", "continuous"])
def test_agents_of_unlike_sizes(kind):
    """The first agent in the order knows nothing of the others: narrower others leave its numbers as recorded."""
    fixture = Fixture.load(GOLDEN / f"sequential_update_happo_{kind}.npz")
    first, narrow = fixture.arrays["agent_order"][[0, -1]]
    arrays = dict(fixture.arrays)
    for name, axis, drop in [
        ("obs", -1, 3),
        ("init_params.obs_norm.scale", 0, 3),
        ("init_params.obs_norm.bias", 0, 3),
        ("init_params.dense0.weight", 1, 3),
        ("init_params.head.weight", 0, 1),
        ("init_params.head.bias", 0, 1),
        ("available_actions", -1, 1),
        ("init_params.log_std", 0, 1),
        *([("actions", -1, 1), ("old_action_log_probs", -1, 1)] if kind == "continuous" else []),
    ]:
        key = f"agent{narrow}.{name}"
        if key in arrays:
            arrays[key] = np.delete(arrays[key], np.s_[:drop], axis)
    mixed = fixture._replace(arrays=arrays)
    assert sorted(set(Agents.of(mixed).observation_sizes)) == [5, 8]
    with jax.enable_x64(True):
        recomputed = REPLAYS[f"sequential_update_happo_{kind}*"](mixed, np.float64)
    prefix = f"agent{first}."
    compared = [
        compare(name, np.asarray(recomputed[name]), arrays[f"out64.{name}"], Tolerance(1e-9, False))
        for name in recomputed
        if name.startswith(prefix)
    ]
    assert len(compared) > 20
    assert [str(comparison) for comparison in compared if not comparison.passed] == []
    shape = recomputed[f"agent{narrow}.final_params.dense0.weight"].shape
    assert shape[1] == 5


def test_other_widths_and_depths():
    """Three unlike layers, five actions: shapes follow, and the log-probabilities are normalised."""
    generator, widths = np.random.default_rng(0), [9, 20, 12, 7]
    fixture = Fixture.load(GOLDEN / "policy_categorical.npz")
    arrays = {name: array for name, array in fixture.arrays.items() if not name.startswith(("params", "out"))}
    arrays["obs"] = generator.normal(size=(12, 9))
    for index, (rows, columns) in enumerate(zip([*widths[1:], 5], widths, strict=True)):
        layer = "head" if index == 3 else f"dense{index}"
        norm = "obs_norm" if index == 0 else f"norm{index - 1}"
        arrays[f"params.{layer}.weight"] = generator.normal(size=(rows, columns))
        arrays[f"params.{layer}.bias"] = generator.normal(size=rows)
        arrays[f"params.{norm}.scale"] = generator.normal(size=columns)
        arrays[f"params.{norm}.bias"] = generator.normal(size=columns)
    recomputed = REPLAYS["policy_categorical"](fixture._replace(arrays=arrays), np.float32)
    assert recomputed["features"].shape == (12, 7)
    np.testing.assert_allclose(np.sum(recomputed["probs"], axis=-1), 1.0, rtol=1e-6)


def test_an_actor_pass_under_other_settings():
    """A2PO with three agents, a clamp of the trace below 1, no clip of the factor and equal clips, by the formulas."""
    fixture = Fixture.load(GOLDEN / "a2po_actor_pass_discrete.npz")
    first, second, third, left_out = fixture.arrays["agent_order"]
    numbers = {agent: number for number, agent in enumerate(sorted((first, second, third)))}
    arrays = {name: array for name, array in fixture.arrays.items() if not name.startswith(("out", "agent"))}
    for agent, number in numbers.items():
        group = fixture.group(f"agent{agent}")
        arrays |= {f"agent{number}.{name}": array for name, array in group.items()}
    assert left_out not in numbers
    arrays["agent_order"] = np.array([numbers[agent] for agent in (first, second, third)])
    settings = dict(fixture.settings) | {"trace_clip_param": 0.8, "clip_others": False, "clip_param_tuner": False}
    changed = fixture._replace(arrays=arrays, settings=settings | {"ppo_epoch": 2})
    with jax.enable_x64(True):
        ours = REPLAYS["a2po_actor_pass_*"](changed, np.float64)
    factor, gamma = np.ones((12, 6)), settings["gamma"]
    m, b, reward, stored = (fixture.arrays[name][..., 0] for name in ("masks", "bad_masks", "rewards", "value_preds"))
    value_norm = fixture.value_norm(np.float64)
    value = stored.astype(np.float64) * np.sqrt(np.maximum(value_norm.variance, 1e-2)) + value_norm.mean
    for place, number in enumerate(arrays["agent_order"]):
        get = lambda name, agent=f"agent{number}": np.asarray(ours[f"{agent}.{name}"])
        np.testing.assert_allclose(get("clip_param"), 0.2, rtol=1e-12)
        np.testing.assert_allclose(get("trace_ratio")[..., 0], factor, rtol=1e-9)
        np.testing.assert_allclose(get("per_epoch.mean_ratio")[0], np.mean(factor), rtol=1e-9)  # R itself, no clip
        plain, corrected = (get(name)[..., 0] for name in ("value_targets", "returns_at_turn"))
        if place == 0:
            np.testing.assert_allclose(corrected, plain, rtol=1e-12)
        for t in reversed(range(len(reward) - 1)):
            following = corrected[t + 1] - value[t + 1]
            trace = 1.0 if place == 0 else np.minimum(0.8, factor[t + 1])
            delta = reward[t] + gamma * value[t + 1] * m[t + 1] - value[t]
            estimate = b[t + 1] * (delta + gamma * settings["gae_lambda"] * trace * m[t + 1] * following)
            np.testing.assert_allclose(corrected[t] - value[t], estimate, rtol=1e-6, atol=1e-6)
        factor = factor * get("ratio_after_update")[..., 0]
    assert np.abs(factor - 1.0).max() > 1e-3
