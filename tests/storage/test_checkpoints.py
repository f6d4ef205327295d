"""Checkpoints: bitwise round trips, and damage of every kind is passed over, named and survived."""

import os
import shutil
import subprocess
import sys
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ltro_jax.storage import (
    RunError,
    list_checkpoints,
    restore_checkpoint,
    save_checkpoint,
    truncate_checkpoints,
)


class State(flax.struct.PyTreeNode):
    params: Any
    optimiser: Any
    keys: jax.Array
    step: jax.Array
    hidden: Any = ()
    extra: Any = None


def make_state(seed: int = 0) -> State:
    key = jax.random.key(seed)
    params = {
        "float32": jax.random.normal(key, (3, 4)).at[0].set(jnp.array([jnp.nan, -0.0, jnp.inf, 1e-45])),
        "bfloat16": jnp.ones(2, jnp.bfloat16),
        "int32": jnp.arange(3),
        "uint32": jnp.array([2**32 - 1], jnp.uint32),
        "bool": jnp.array([True, False]),
        "empty": jnp.zeros((0, 3)),
    }
    optimiser = optax.adam(1e-3).init({"w": params["float32"]})
    return State(params, optimiser, jax.random.split(key, (2, 3)), jnp.int32(seed), extra=np.array([0.1]))


def bits(leaf: Any) -> tuple:
    array = np.asarray(jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf)
    return str(leaf.dtype), array.shape, array.tobytes()


def assert_same(one: Any, other: Any) -> None:
    assert jax.tree.structure(one) == jax.tree.structure(other)
    assert [bits(x) for x in jax.tree.leaves(one)] == [bits(x) for x in jax.tree.leaves(other)]


@pytest.fixture
def saved(tmp_path):
    """Checkpoints 20, 40 and 60 of states 20, 40 and 60."""
    for iteration in (20, 40, 60):
        save_checkpoint(tmp_path, iteration, make_state(iteration), keep=3)
    return tmp_path


def test_round_trip_is_bitwise(tmp_path):
    state = make_state()
    save_checkpoint(tmp_path / "new", 3, state, keep=1)
    restored = restore_checkpoint(tmp_path / "new", state)
    assert restored.iteration == 3 and restored.damaged == {} and restored.unfinished == ()
    assert_same(restored.state, state)
    assert isinstance(restored.state.optimiser[0], optax.ScaleByAdamState)
    assert isinstance(restored.state.extra, np.ndarray)


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_abstract_template_and_usable_keys(tmp_path, impl):
    def make() -> dict[str, Any]:
        return {
            "key": jax.random.key(5, impl=impl),
            "none": None,
            "no_keys": jax.random.key(0, impl=impl)[None][:0],
        }

    save_checkpoint(tmp_path, 0, make(), keep=1)
    state = restore_checkpoint(tmp_path, jax.eval_shape(make)).state
    assert_same(state, make())
    assert jax.random.uniform(state["key"]) == jax.random.uniform(make()["key"])


def test_the_newest_are_kept_and_leftovers_swept(saved):
    (saved / ".writing-70").mkdir()
    (saved / "notes").mkdir()
    save_checkpoint(saved, 80, make_state(80), keep=2)
    assert list_checkpoints(saved) == [60, 80]
    assert sorted(path.name for path in saved.iterdir()) == ["000000060", "000000080", "notes"]


def test_the_same_iteration_is_replaced_and_its_future_dropped(saved):
    save_checkpoint(saved, 40, make_state(7), keep=3)
    assert list_checkpoints(saved) == [20, 40]
    assert_same(restore_checkpoint(saved, make_state()).state, make_state(7))


def test_truncate(saved):
    truncate_checkpoints(saved, 50)
    assert list_checkpoints(saved) == [20, 40]
    truncate_checkpoints(saved / "absent", 50)


def test_a_replacement_cut_short_keeps_the_old_one(saved):
    (saved / "000000060").rename(saved / ".replaced-60")
    assert list_checkpoints(saved) == [20, 40, 60]
    assert_same(restore_checkpoint(saved, make_state()).state, make_state(60))
    save_checkpoint(saved, 60, make_state(7), keep=1)
    assert [path.name for path in saved.iterdir()] == ["000000060"]


def flip_a_byte(path):
    file = path / "state.npz"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def cut_a_file(path):
    file = path / "leaves.json"
    file.write_bytes(file.read_bytes()[:-1])


DAMAGES = {
    "checksum differs": flip_a_byte,
    r"leaves\.json: checksum differs": cut_a_file,
    r"leaves\.json: missing": lambda path: (path / "leaves.json").unlink(),
    r"manifest\.json: missing": lambda path: (path / "manifest.json").unlink(),
    r"manifest\.json: unreadable": lambda path: (path / "manifest.json").write_text("{"),
    r"manifest\.json: written for iteration 20": lambda path: shutil.copytree(
        path.parent / "000000020", path, dirs_exist_ok=True
    ),
}


@pytest.mark.parametrize("reason", DAMAGES)
def test_damage_is_passed_over_and_named(saved, reason):
    DAMAGES[reason](saved / "000000060")
    restored = restore_checkpoint(saved, make_state())
    assert restored.iteration == 40
    assert_same(restored.state, make_state(40))
    (sentence,) = restored.damage(saved)
    assert sentence.startswith(f"checkpoint 000000060 of {saved} is damaged (")
    assert sentence.endswith("); checkpoint 000000040 is used")
    with pytest.raises(RunError, match=reason):
        restore_checkpoint(saved, make_state(), iteration=60)


def test_an_unfinished_checkpoint_is_named(saved):
    (saved / "000000060").rename(saved / ".writing-60")
    restored = restore_checkpoint(saved, make_state())
    assert (restored.iteration, restored.damaged, restored.unfinished) == (40, {}, (".writing-60",))


def test_no_usable_checkpoint(saved):
    with pytest.raises(RunError, match=r"no usable checkpoint in .*there is none"):
        restore_checkpoint(saved / "absent", make_state())
    with pytest.raises(RunError, match="no checkpoint of iteration 50; available: 20, 40, 60"):
        restore_checkpoint(saved, make_state(), iteration=50)
    for path in saved.iterdir():
        flip_a_byte(path)
    with pytest.raises(RunError, match=r"000000060 is damaged.*000000040 is damaged.*000000020 is damaged"):
        restore_checkpoint(saved, make_state())


def test_a_template_that_differs_is_refused_by_name(saved):
    state = make_state()
    for change, words in {
        "shape": (
            state.replace(step=jnp.zeros(2, jnp.int32)),
            r"step is int32\[\] there and int32\[2\] here",
        ),
        "dtype": (state.replace(step=jnp.float32(0)), r"step is int32\[\] there and float32\[\] here"),
        "absent": (state.replace(step=None), r"step is int32\[\] there and absent here"),
        "added": (state.replace(hidden=(state.step,)), r"hidden\.0 is absent there and int32\[\] here"),
        "key": (
            state.replace(keys=jax.random.split(jax.random.key(0, impl="rbg"), (2, 3))),
            "keys is key<fry>",
        ),
        "nested": (state.replace(params=state.params | {"bool": state.step}), r"params\.bool is bool\[2\]"),
    }.values():
        with pytest.raises(RunError, match=words):
            restore_checkpoint(saved, change)


@pytest.mark.parametrize("step", ["mkdir", "fsync", "replace"])
def test_a_disk_that_refuses_costs_nothing(saved, monkeypatch, step):
    def refuse(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, step, refuse)
    with pytest.raises(RunError, match=r"cannot write checkpoint .*000000080: Read-only file system; older"):
        save_checkpoint(saved, 80, make_state(80), keep=1)
    monkeypatch.undo()
    assert list_checkpoints(saved) == [20, 40, 60]
    assert_same(restore_checkpoint(saved, make_state()).state, make_state(60))


SCRIPT = """
import resource, signal, sys
from pathlib import Path
import jax, numpy as np
from ltro_jax.storage import RunError, list_checkpoints, restore_checkpoint, save_checkpoint
directory = Path(sys.argv[1])
save_checkpoint(directory, 1, {"weights": np.ones(9)}, keep=1)
restore_checkpoint(directory, {"weights": np.ones(9)})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # A full disk, as far as one process can have it.
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    save_checkpoint(directory, 2, {"weights": np.random.default_rng(0).normal(size=9_999)}, keep=1)
except RunError as error:
    print(error)
print(list_checkpoints(directory))
"""


def test_a_full_disk_is_one_sentence_and_nothing_else_is_printed(tmp_path):
    done = subprocess.run([sys.executable, "-c", SCRIPT, tmp_path], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    sentence, remaining = done.stdout.splitlines()
    assert sentence.endswith("000000002: File too large; older ones are intact; free some space and resume")
    assert remaining == "[1]"


def test_arguments_that_make_no_sense(tmp_path):
    with pytest.raises(ValueError, match="keep >= 1"):
        save_checkpoint(tmp_path, 1, make_state(), keep=0)
    with pytest.raises(TypeError, match=r"two leaves of the tree are called a\.b"):
        save_checkpoint(tmp_path, 1, {"a.b": jnp.ones(1), "a": {"b": jnp.ones(1)}}, keep=1)
