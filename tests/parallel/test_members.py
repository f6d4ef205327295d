"""Members never mix: a seed gives the same run alone, in a sweep, and on eight devices."""

import os
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparing import assert_close, assert_same_bits

from ltro_jax import make_train
from ltro_jax.parallel import make_member_program, stack_hypers
from ltro_jax.parallel.members import compiler_options

EIGHT_DEVICES = """
import sys
import jax, jax.numpy as jnp
from comparing import assert_same_bits
from conftest import TINY
from ltro_jax import Config, make_train
from ltro_jax.parallel import make_member_program, member_layout, stack_hypers

assert len(jax.devices()) == 8
config = Config.stored(TINY | {"eval_episodes": 0, "actor_minibatches": 1, "critic_minibatches": 1})
train = make_train(config)
seeds = jnp.arange(8, dtype=jnp.uint32)

def run(members, seeds):
    hypers = members.place(stack_hypers([config.hypers] * len(seeds)))
    states = members.init(members.place(seeds), hypers)
    return members.advance(states, hypers, jnp.int32(2))

everything = run(make_member_program(train, 8), seeds)
placed = {shard.device.id for shard in everything[0].iteration.addressable_shards}
assert len(placed) == 8, placed
everything = jax.device_get(everything)
assert everything[0].failed_at.tolist() == [-1] * 8
single = make_member_program(train, 1, member_layout(1, jax.devices()[:1]))
for seed in range(8):
    alone = jax.device_get(run(single, seeds[seed : seed + 1]))
    assert_same_bits(alone, jax.tree.map(lambda leaf: leaf[seed : seed + 1], everything))
"""


def test_eight_devices_with_one_member_each_equal_eight_single_runs():
    """Bitwise, of the program as users compile it: on each device it is the same."""
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    environment = os.environ | {
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "0",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": here,
    }
    done = subprocess.run(
        [sys.executable, "-c", EIGHT_DEVICES], env=environment, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr


SHARES = """
import sys
from pathlib import Path
import jax, numpy as np
from comparing import assert_same_bits
from conftest import TINY
from ltro_jax import Config, make_train
from ltro_jax.parallel import make_member_program, stack_members
from ltro_jax.storage import checkpoints

def bytes_of_devices():
    shards = [shard for array in jax.live_arrays() for shard in array.addressable_shards]
    sizes = {(s.device.id, s.data.unsafe_buffer_pointer()): s.data.nbytes for s in shards}
    return [sum(size for (device, _), size in sizes.items() if device == number) for number in range(4)]

config = Config.from_dict(TINY | {"seeds": tuple(range(7)), "hidden_sizes": (64, 64)})
train = make_train(config)
members = make_member_program(train, 7)
assert (members.layout.mesh.size, members.layout.num_rows) == (4, 8)
template = jax.eval_shape(jax.vmap(train.init), *stack_members(config.members))
is_key = lambda leaf: jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
draw = np.random.default_rng(0)
fill = lambda leaf: (
    jax.random.split(jax.random.key(0), leaf.shape) if is_key(leaf) else draw.normal(size=leaf.shape).astype(leaf.dtype)
)
state = jax.tree.map(fill, template)
of_member = sum(leaf.nbytes for leaf in jax.tree.leaves(state) if not is_key(leaf)) // 7
share, keys = 2 * of_member, 2_000
before = bytes_of_devices()
assert max(before) < keys, before

rows = members.place(state)
placed = bytes_of_devices()
assert all(share <= size < share + keys for size in placed), (share, placed)

during, write = [], checkpoints._write
checkpoints._write = lambda *rest: (during.append(bytes_of_devices()), write(*rest), during.append(bytes_of_devices()))
checkpoints.save_checkpoint(Path(sys.argv[1]), 4, members.collect(rows), keep=1)
assert len(during) == 2 and max(map(max, during)) < share + keys, (share, during)

del rows
restored = checkpoints.restore_checkpoint(Path(sys.argv[1]), template).state
assert max(bytes_of_devices()) < keys
again = members.place(restored)
assert all(share <= size < share + keys for size in bytes_of_devices())
assert_same_bits(members.collect(again), state)
for leaf in jax.tree.leaves(restored):
    if not is_key(leaf):
        leaf[...] = 0  # what was placed is a copy: it is donated to the next device call
assert_same_bits(members.collect(again), state)
"""


def test_a_device_never_holds_more_than_its_share(tmp_path):
    """Seven members on four devices, while they are placed, saved and restored: two members of bytes on each."""
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    environment = os.environ | {
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join([here, os.path.dirname(here)]),
    }
    done = subprocess.run(
        [sys.executable, "-c", SHARES, str(tmp_path)], env=environment, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr


def test_a_seed_gives_the_same_run_alone_and_in_a_sweep(tiny):
    """The same keys, resets and first actions to the last bit; what matrix products made, to rounding."""
    config = tiny(eval_interval=1, eval_episodes=0, actor_minibatches=1, critic_minibatches=1)
    train = make_train(config)

    def run(*seeds: int) -> Any:
        members = make_member_program(train, len(seeds))
        hypers = stack_hypers([config.hypers] * len(seeds))
        states = members.init(jnp.asarray(seeds, jnp.uint32), hypers)
        initial = jax.device_get(jax.tree.map(jnp.copy, states))
        return initial, members.advance(states, hypers, jnp.int32(1))

    sweep, (swept, swept_metrics, _) = run(3, 7, 12)
    alone, (single, metrics, _) = run(7)

    def seventh(tree: Any) -> Any:
        return jax.tree.map(lambda leaf: leaf[1:2], tree)

    for name in ("train_key", "eval_key", "env_state", "timestep", "tally"):
        assert_same_bits(getattr(alone, name), getattr(seventh(sweep), name))
    assert_close(alone, seventh(sweep), rtol=1e-5, atol=1e-6)
    assert_same_bits(single.env_state, seventh(swept).env_state)
    assert_close(single, seventh(swept), rtol=1e-4, atol=1e-5)
    assert_same_bits(metrics.position["agent_order"], seventh(swept_metrics).position["agent_order"])
    assert_close(metrics.scalar, seventh(swept_metrics).scalar, rtol=1e-4, atol=1e-5)
    kernels = swept.agents.params["params"]["head"]["kernel"]
    assert (np.asarray(kernels[0]) != np.asarray(kernels[1])).all()


def test_on_a_cpu_members_are_bitwise_the_same_in_any_sweep(tiny):
    """They run one after another, each as if alone."""
    config = tiny(eval_interval=1, actor_minibatches=1, critic_minibatches=1)
    train = make_train(config)

    def run(*seeds: int) -> Any:
        members = make_member_program(train, len(seeds))
        hypers = members.place(stack_hypers([config.hypers] * len(seeds)))
        states = members.init(members.place(jnp.asarray(seeds, jnp.uint32)), hypers)
        return jax.device_get(members.advance(states, hypers, jnp.int32(1)))

    sweep = run(3, 7, 12)
    assert_same_bits(run(3, 7), jax.tree.map(lambda leaf: leaf[:2], sweep))


def test_hypers_are_stacked_in_float32(tiny):
    points = [tiny(actor_lr=lr).hypers for lr in (1e-3, 1e-4)]
    stacked = stack_hypers(points)
    assert {(leaf.shape, leaf.dtype, leaf.weak_type) for leaf in jax.tree.leaves(stacked)} == {
        ((2,), jnp.dtype("float32"), False)
    }
    np.testing.assert_array_equal(stacked.actor_lr, np.array([1e-3, 1e-4], np.float32))


@pytest.mark.parametrize("disabled", [False, True])
def test_a_chosen_optimisation_level_is_left_alone(disabled, monkeypatch):
    before = jax.config.read("jax_disable_most_optimizations")
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    try:
        jax.config.update("jax_disable_most_optimizations", disabled)
        assert compiler_options("cpu") == (None if disabled else {"xla_backend_optimization_level": 2})
        assert compiler_options("cuda") is None
        monkeypatch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=3")
        assert compiler_options("cpu") is None
    finally:
        jax.config.update("jax_disable_most_optimizations", before)
