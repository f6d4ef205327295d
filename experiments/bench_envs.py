"""Environment steps/s: our adapters with resets against JaxMARL's own auto-resetting `step`. One JSON object per line.

    python experiments/bench_envs.py                                   # about 10 minutes on 2 cores
    python experiments/bench_envs.py --tasks smax/3m --num_envs 128    # some of it

Both sides play random legal actions in one jitted scan over vmapped environments, alternating in one process; the ratio
is the median over rounds of the time of JaxMARL divided by our time: above 1, ours is faster. `reset_every_step` is our
adapter with a reset computed at every step, as JaxMARL does it. JaxMARL has no loop that steps the environment of
MABrax, which is timed alone. `--train` times a whole iteration instead: of the preset, and with `--num_envs` of the
same number of samples from that many environments.
"""

import argparse
import functools
import json
import math
import platform
import statistics
import time
from typing import Any

import jax
import jax.numpy as jnp

import ltro_jax
from ltro_jax.config import Static
from ltro_jax.envs import Environment, list_tasks, make_env, missing_extra, step_and_reset
from ltro_jax.process.imports import import_quietly

TASKS = ("mpe/simple_spread", "smax/3m", "smax/27m_vs_30m", "mabrax/ant_4x2", "mabrax/halfcheetah_6x1")


def random_actions(key: jax.Array, mask: jax.Array, discrete: bool) -> jax.Array:
    """`[B, N]` legal actions, or `[B, N, A]` in [0, 1]."""
    if discrete:
        return jax.random.categorical(key, jnp.where(mask, 0.0, -jnp.inf)).astype(jnp.int32)
    return jax.random.uniform(key, mask.shape)


def ours(env: Environment, num_envs: int, num_steps: int, every_step: bool = False):
    """A jitted loop; `every_step` computes a reset at each step and uses it if an episode is over."""

    def always_reset(step_key, reset_key, env_state, action):
        stepped = env.step(step_key, env_state, action)
        chosen = jax.tree.map(lambda new, old: jnp.where(stepped[1].done, new, old), env.reset(reset_key), stepped)
        return *chosen, stepped[1]

    def run(key):
        reset_key, run_key = jax.random.split(key)
        start = jax.vmap(env.reset)(jax.random.split(reset_key, num_envs))

        def body(carry, keys):
            env_state, timestep = carry
            action = random_actions(keys[0], timestep.action_mask, env.spec.discrete)
            step = jax.vmap(always_reset) if every_step else functools.partial(step_and_reset, env)
            env_state, timestep, outcome = step(keys[1 : num_envs + 1], keys[num_envs + 1 :], env_state, action)
            return (env_state, timestep), (jnp.sum(outcome.observation), outcome.reward)

        return jax.lax.scan(body, start, jax.random.split(run_key, (num_steps, 2 * num_envs + 1)))[1]

    return jax.jit(run)


def theirs(env: Any, adapter: Environment, num_envs: int, num_steps: int):
    """The same loop over JaxMARL's `step`, which resets by itself."""
    agents, spec = adapter.spec.agents, adapter.spec

    def run(key):
        reset_key, run_key = jax.random.split(key)
        start = jax.vmap(env.reset)(jax.random.split(reset_key, num_envs))[1]
        start = jax.tree.map(lambda leaf: jnp.asarray(leaf, leaf.dtype), start)

        def body(env_state, keys):
            mask = jnp.ones((num_envs, spec.num_agents, spec.action_size), bool)
            if spec.winnable:
                available = jax.vmap(env.get_avail_actions)(env_state)
                mask = jnp.stack([available[agent] for agent in agents], axis=1).astype(bool)
            action = random_actions(keys[0], mask, spec.discrete)
            actions = {agent: action[:, index] for index, agent in enumerate(agents)}
            observations, env_state, rewards, _, _ = jax.vmap(env.step)(keys[1:], env_state, actions)
            return env_state, (sum(jnp.sum(observations[agent]) for agent in agents), rewards[agents[0]])

        return jax.lax.scan(body, start, jax.random.split(run_key, (num_steps, num_envs + 1)))[1]

    return jax.jit(run)


def bench_steps(task: str, num_envs: int, num_steps: int, rounds: int) -> None:
    env: Any = make_env(Static(task=task))
    loops: dict[str, Any] = {"ours": ours(env, num_envs, num_steps)}
    if task.startswith(("mpe/", "smax/")):
        loops |= {"jaxmarl": theirs(env._env, env, num_envs, num_steps)}
        loops |= {"reset_every_step": ours(env, num_envs, num_steps, every_step=True)}
    key, compile_seconds, durations = jax.random.key(0), {}, {}
    for name, loop in loops.items():
        start = time.perf_counter()
        loops[name] = loop.lower(key).compile()
        compile_seconds[name] = round(time.perf_counter() - start, 1)
        jax.block_until_ready(loops[name](key))
        durations[name] = []
    for _ in range(rounds):  # alternate, so that a noisy neighbour affects all equally
        for name, loop in loops.items():
            start = time.perf_counter()
            jax.block_until_ready(loop(key))
            durations[name].append(time.perf_counter() - start)
    rates = {name: round(num_envs * num_steps / statistics.median(times)) for name, times in durations.items()}
    ratios = {
        f"{name}_over_ours": round(statistics.median(a / b for a, b in zip(times, durations["ours"], strict=True)), 2)
        for name, times in durations.items()
        if name != "ours"
    }
    emit("env_steps", task=task, num_envs=num_envs, steps_per_second=rates, compile_seconds=compile_seconds, **ratios)


def bench_training(task: str, num_envs: int | None, rounds: int) -> None:
    """One iteration of clip_happo: its compile time and environment steps/s.

    None = the unchanged preset; a number of environments keeps the preset's samples per iteration.
    """
    config = ltro_jax.load_preset(task, "clip_happo")
    if num_envs:
        length = max(1, config.static.steps_per_iteration // num_envs)
        chunk = {"chunk_length": math.gcd(length, config.static.chunk_length)} if config.static.recurrent else {}
        config = config.replace(num_envs=num_envs, rollout_length=length, **chunk)
    train, hypers = ltro_jax.make_train(config), jax.tree.map(jnp.float32, config.hypers)
    state = jax.jit(train.init)(0, hypers)
    start = time.perf_counter()
    iterate = jax.jit(train.iterate).lower(state, hypers).compile()
    seconds, durations = time.perf_counter() - start, []
    jax.block_until_ready(iterate(state, hypers))
    for _ in range(rounds):
        start = time.perf_counter()
        jax.block_until_ready(iterate(state, hypers))
        durations.append(time.perf_counter() - start)
    rate = config.static.steps_per_iteration / statistics.median(durations)
    metrics = {"steps_per_second": round(rate), "compile_seconds": round(seconds, 1)}
    sizes = {"num_envs": config.static.num_envs, "rollout_length": config.static.rollout_length}
    emit("training", task=task, algorithm="clip_happo", **sizes, **metrics)


def emit(figure: str, **values: Any) -> None:
    print(json.dumps({"figure": figure} | values), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=[task for task in TASKS if task in list_tasks()])
    parser.add_argument("--num_envs", type=int, nargs="+", help="default: 16 128 1024; with --train the preset's own")
    parser.add_argument("--num_steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--train", action="store_true", help="time training instead of environments")
    options = parser.parse_args()
    import_quietly("jaxmarl")
    device = jax.devices()[0]
    emit("machine", device=device.device_kind, python=platform.python_version(), jax=jax.__version__)
    for task in options.tasks:
        extra = missing_extra(task)
        if extra:
            emit("skipped", task=task, reason=f"needs the extra {extra}")
        elif options.train:
            for num_envs in options.num_envs or [None]:
                bench_training(task, num_envs, options.rounds)
        else:
            slow = task == "smax/27m_vs_30m" or task.startswith("mabrax/")
            for num_envs in options.num_envs or [16, 128, 1024]:
                rounds = min(options.rounds, 3 if slow else 99)
                share = 50 if slow and num_envs > 128 else 5 if slow else 1  # a call may take minutes
                bench_steps(task, num_envs, max(1, options.num_steps // share), rounds)


if __name__ == "__main__":
    main()
