"""On an accelerator: the CPU's numbers within rounding, the same bits twice, members that do not feel each other.

python -m pytest -m gpu
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparing import assert_close, assert_same_bits

from ltro_jax import Config, load_preset, make_train, resume, train
from ltro_jax.parallel import make_member_program, member_layout, stack_members

pytestmark = pytest.mark.gpu
ROOT = Path(__file__).resolve().parents[2]
SMALL = {"num_envs": 8, "rollout_length": 50, "hidden_sizes": "64,64", "eval_episodes": 0}
PROGRAMS = {
    "clip_happo": {"algorithm": "clip_happo"},
    "clip_hatrpo": {"algorithm": "clip_hatrpo"},
    "recurrent": {"algorithm": "clip_happo", "recurrent": True},
    "shared": {"algorithm": "mappo", "share_parameters": "all", "agent_id": True},
}


@pytest.fixture(scope="module")
def accelerator() -> Any:
    """The first device that is not a CPU."""
    device = jax.devices()[0]
    if device.platform == "cpu":
        pytest.skip("there is no accelerator here")
    return device


def spread(**settings: Any) -> Config:
    """simple_spread in a small size."""
    return load_preset("mpe/simple_spread", **(SMALL | settings))


def one_iteration(config: Config, device: Any) -> Any:
    """State and metrics after one iteration of seed 3, on `device`."""
    program, hypers = make_train(config), jax.tree.map(jnp.float32, config.hypers)
    with jax.default_device(device):
        state = jax.jit(program.init)(3, hypers)
        return jax.device_get(jax.jit(program.iterate)(state, hypers))


@pytest.mark.parametrize("name", PROGRAMS)
def test_one_iteration_is_the_cpu_s(name, accelerator):
    config = spread(**PROGRAMS[name])
    state, metrics = one_iteration(config, accelerator)
    expected, expected_metrics = one_iteration(config, jax.devices("cpu")[0])
    assert_same_bits(metrics.position["agent_order"], expected_metrics.position["agent_order"])
    assert_close(state.timestep, expected.timestep, rtol=1e-4, atol=1e-4)
    assert_close(state.agents.params, expected.agents.params, rtol=2e-3, atol=2e-4)
    assert_close(state.critic.params, expected.critic.params, rtol=2e-3, atol=2e-4)
    for name in ("reward", "value_loss", "value_target"):
        assert_close(metrics.scalar[name], expected_metrics.scalar[name], rtol=1e-3, atol=1e-4)
    for name in ("adv_variance_raw", "adv_variance_used", "factor_mean", "kl"):
        assert_close(metrics.position[name], expected_metrics.position[name], rtol=1e-2, atol=1e-4)


TWICE = """
import jax, jax.numpy as jnp
from comparing import assert_same_bits
from ltro_jax import load_preset, make_train
config = load_preset("mpe/simple_spread", num_envs=8, rollout_length=50, hidden_sizes="64,64", eval_episodes=0)
program, hypers = make_train(config), jax.tree.map(jnp.float32, config.hypers)
iterate = jax.jit(program.iterate)
def run():
    state = jax.jit(program.init)(3, hypers)
    for _ in range(3):
        state, metrics = iterate(state, hypers)
    return jax.device_get((state, metrics))
assert_same_bits(run(), run())
"""


def test_the_same_bits_twice_where_xla_promises_them(accelerator):
    environment = os.environ | {
        "XLA_FLAGS": "--xla_gpu_deterministic_ops=true",
        "PYTHONPATH": f"{ROOT / 'tests'}:{ROOT}",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }
    done = subprocess.run([sys.executable, "-c", TWICE], env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr


def test_a_member_among_others_is_the_member_alone(accelerator):
    """Vmapped products round differently: alike within rounding, and the same keys."""
    config = spread(seeds="0:6")
    program = make_train(config)

    def rewards(at_once: int | None) -> Any:
        members = make_member_program(program, 6, member_layout(6, [accelerator], at_once))
        seeds, hypers = members.place(stack_members(config.members))
        states, metrics, _ = members.advance(members.init(seeds, hypers), hypers, jnp.int32(1))
        return jax.device_get(members.collect((states.agents.params, metrics.scalar["reward"])))

    together, alone, pairs = rewards(None), rewards(1), rewards(4)
    for other in (alone, pairs):
        assert_close(together[0], other[0], rtol=2e-3, atol=2e-4)
        np.testing.assert_allclose(together[1], other[1], rtol=1e-4)


def test_a_run_is_resumed(accelerator, tmp_path):
    config = spread(seeds="0:3", total_env_steps=6 * 400, eval_interval=2, checkpoint_interval=2)
    half = train(config.replace(total_env_steps=3 * 400), tmp_path / "run", progress=False)
    half.directory.write_json("settings.json", config.to_dict())
    whole = train(config, tmp_path / "whole", progress=False)
    resumed = resume(half.path, progress=False)
    assert resumed.finished
    np.testing.assert_allclose(resumed.metrics["reward"], whole.metrics["reward"], rtol=1e-2, atol=1e-2)
