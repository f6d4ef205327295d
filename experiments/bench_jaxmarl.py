"""Training speed against JaxMARL's IPPO script with its settings, alternating in one process. Prints JSON lines.

    git clone https://github.com/FLAIROx/JaxMARL
    pip install -c constraints.txt distrax hydra-core six wandb             # what its script imports; gymnax needs six
    python experiments/bench_jaxmarl.py --script JaxMARL/baselines/IPPO/ippo_ff_mpe.py                 # about 2 minutes
    python experiments/bench_jaxmarl.py --activation relu --script …

Both train on simple_spread with discrete actions, 16 environments × 128 steps, 4 epochs × 4 minibatches, a network of 2
× 64 without LayerNorm that the agents share. The script's log to Weights & Biases, a host callback at every iteration,
is left out. Differences: its settings use tanh, ours ReLU (`--activation relu` switches the script); its critic reads
the observation of each agent, ours the global state once; clip_happo updates on the samples of each agent in sequence.

- `env_steps_per_second`: of the median call; a call is ten iterations from the start, compiled before.
- `ratio`: median over calls of JaxMARL's duration divided by ours, of neighbouring calls.
"""

import argparse
import importlib.util
import platform
import statistics
import sys
import time
from pathlib import Path
from types import ModuleType

import jax
import jax.numpy as jnp
from bench import emit
from bench_scale import SMALL, SPREAD

import ltro_jax
from ltro_jax.parallel import make_member_program, stack_members

ITERATIONS = 10
STEPS = SMALL["num_envs"] * SMALL["rollout_length"]
# JaxMARL 0.2, baselines/IPPO/config/ippo_ff_mpe.yaml, but the length
SCRIPT_SETTINGS = {
    "LR": 2.5e-4,
    "NUM_ENVS": 16,
    "NUM_STEPS": 128,
    "TOTAL_TIMESTEPS": ITERATIONS * STEPS,
    "UPDATE_EPOCHS": 4,
    "NUM_MINIBATCHES": 4,
    "GAMMA": 0.99,
    "GAE_LAMBDA": 0.95,
    "CLIP_EPS": 0.2,
    "ENT_COEF": 0.01,
    "VF_COEF": 0.5,
    "MAX_GRAD_NORM": 0.5,
    "ACTIVATION": "tanh",
    "ENV_NAME": "MPE_simple_spread_v3",
    "ENV_KWARGS": {},
    "ANNEAL_LR": True,
}


def load_script(path: Path) -> ModuleType:
    """The script as a module, without its log."""
    spec = importlib.util.spec_from_file_location("ippo_ff_mpe", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise SystemExit(f"--script {path} is not a Python file; name JaxMARL's baselines/IPPO/ippo_ff_mpe.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["ippo_ff_mpe"] = module
    spec.loader.exec_module(module)
    jax.experimental.io_callback = lambda *_, **__: None  # type: ignore[attr-defined]
    return module


def our_call(algorithm: str):
    """`() → states` after ten iterations from the start."""
    config = ltro_jax.load_preset(SPREAD, algorithm, seeds="0:1", **SMALL)
    config = config.replace(eval_episodes=0, eval_interval=ITERATIONS)
    members = make_member_program(ltro_jax.make_train(config), 1)
    seeds, hypers = members.place(stack_members(config.members))
    return lambda: members.advance(members.init(seeds, hypers), hypers, jnp.int32(ITERATIONS))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--script", type=Path, required=True)
    parser.add_argument("--algorithms", nargs="*", default=["mappo", "clip_happo"])
    parser.add_argument(
        "--activation", choices=["tanh", "relu"], default="tanh", help="activation of the networks of the script"
    )
    parser.add_argument("--calls", type=int, default=20)
    options = parser.parse_args()
    versions = {"python": platform.python_version(), "jax": jax.__version__}
    emit("machine", activation=options.activation, device=jax.devices()[0].device_kind, **versions)
    script = jax.jit(load_script(options.script).make_train(SCRIPT_SETTINGS | {"ACTIVATION": options.activation}))
    calls = {"jaxmarl": lambda: script(jax.random.PRNGKey(30))}
    calls |= {algorithm: our_call(algorithm) for algorithm in options.algorithms}
    for call in calls.values():
        jax.block_until_ready(call())
    durations = {name: [] for name in calls}
    for _ in range(options.calls):
        for name, call in calls.items():
            began = time.perf_counter()
            jax.block_until_ready(call())
            durations[name].append(time.perf_counter() - began)
    for name, seconds in durations.items():
        ratios = [reference / duration for duration, reference in zip(seconds, durations["jaxmarl"], strict=True)]
        rate = round(ITERATIONS * STEPS / statistics.median(seconds))
        emit(name, env_steps_per_second=rate, ratio=round(statistics.median(ratios), 3))


if __name__ == "__main__":
    main()
