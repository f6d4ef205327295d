"""Speed and memory of training on continuous simple_spread, N = 3, the paper's settings. One JSON object per line.

    python experiments/bench.py                       # everything, about 6 minutes on 2 cores
    python experiments/bench.py --members 1 4 16 64   # other member counts

Measurements:
- `ceiling`: best of 5 float32 [4000, 128] × [128, 128] product loops in this process, GFLOP/s.
- `start`: a fresh process up to the first finished device call, with an empty and with a filled compilation cache.
- `split`: one iteration and its parts as separate programs, medians; `update_gflops` counts 2mnk for each matrix
  product of the actor and critic updates, forward 1 and backward 2, over the time of these two parts.
- `members`: steady environment steps/s of S members.
- `algorithms`: one iteration of each algorithm against mappo, alternating, medians of the ratios.
- `memory`: `compiled.memory_analysis()` of one iteration against (state + one rollout + activations of one network).
"""

import argparse
import functools
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import ltro_jax
from ltro_jax.algorithms.critic import update_critics
from ltro_jax.algorithms.factor_statistics import factor_statistics
from ltro_jax.algorithms.sequential import sequential_update
from ltro_jax.parallel import compile_together, make_member_program, stack_hypers
from ltro_jax.runs.compilation_cache import use_compilation_cache
from ltro_jax.training.returns import returns
from ltro_jax.training.rollout import rollout

TASK = "mpe/simple_spread"


def emit(figure: str, **values: Any) -> None:
    print(json.dumps({"figure": figure} | values), flush=True)


def seconds(call, repeats: int) -> list[float]:
    """Durations of `call()`, which must return arrays, after one call to warm up."""
    jax.block_until_ready(call())
    durations = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(call())
        durations.append(time.perf_counter() - start)
    return durations


def matmul_ceiling(inner: int = 20) -> float:
    """GFLOP/s of the best of 5 loops over a float32 product of the size that training multiplies."""
    x = jax.random.normal(jax.random.key(0), (4000, 128))
    w = jax.random.normal(jax.random.key(1), (128, 128))
    product = jax.jit(lambda x, w: x @ w)

    def loop():
        return [product(x, w) for _ in range(inner)]

    return 2 * 4000 * 128 * 128 * inner / min(seconds(loop, 5)) / 1e9


def network_flops(sizes: list[int], samples: int) -> int:
    """2mnk over the layers, one forward pass."""
    return sum(2 * samples * a * b for a, b in itertools.pairwise(sizes))


def update_flops(config: ltro_jax.Config) -> int:
    """Matrix-product FLOPs of the actor and critic updates of one iteration; each agent's final ratio included."""
    static, spec = config.static, ltro_jax.make_train(config).parts.spec
    samples, hidden = static.steps_per_iteration, list(static.hidden_sizes)
    actor = network_flops([spec.observation_size, *hidden, spec.action_size], samples)
    critic = network_flops([spec.state_size, *hidden, 1], samples)
    return spec.num_agents * actor * (3 * static.actor_epochs + 1) + critic * 3 * static.critic_epochs


def bench_split(config: ltro_jax.Config, ceiling: float, repeats: int) -> None:
    train = ltro_jax.make_train(config)
    parts, hypers, key = train.parts, config.hypers, jax.random.key(0)
    state = jax.jit(train.init)(0, hypers)
    hypers = jax.tree.map(jnp.float32, hypers)  # traced, as in training
    collect = functools.partial(jax.jit(lambda h, k, s: rollout(k, s, h, parts)), hypers)
    _, transitions, _ = collect(key, state)
    estimate = functools.partial(jax.jit(lambda h, t, c: returns(t, c, h, parts)), hypers)
    agent_batch, critic_batch, _ = estimate(transitions, state)
    actors = functools.partial(
        sequential_update,
        rule=parts.rule,
        measure=factor_statistics,
    )
    update_actors = functools.partial(jax.jit(lambda h, k, a, b: actors(k, a, b, h)), hypers)
    update_critic = functools.partial(
        jax.jit(lambda h, k, c, b: update_critics(k, c, b, parts.critic, parts.static, h)), hypers
    )
    whole = functools.partial(jax.jit(lambda h, s: train.iterate(s, h)), hypers)
    calls = {
        "rollout": lambda: collect(key, state),
        "returns": lambda: estimate(transitions, state),
        "actors": lambda: update_actors(key, state.agents, agent_batch),
        "critic": lambda: update_critic(key, state.critic, critic_batch),
        "iteration": lambda: whole(state),
    }
    medians = {name: statistics.median(seconds(call, repeats)) for name, call in calls.items()}
    other = medians["iteration"] - sum(medians[name] for name in ("rollout", "returns", "actors", "critic"))
    gflops = update_flops(config) / (medians["actors"] + medians["critic"]) / 1e9
    emit(
        "split",
        milliseconds={name: round(1e3 * value, 2) for name, value in (medians | {"other": other}).items()},
        update_gflop=round(update_flops(config) / 1e9, 2),
        update_gflops=round(gflops, 1),
        share_of_ceiling=round(gflops / ceiling, 3),
        env_steps_per_second=round(config.static.steps_per_iteration / medians["iteration"]),
    )


def compiled_members(config: ltro_jax.Config, num_members: int):
    """States, hyper-parameters and the compiled device call of S members, and the seconds of compiling it."""
    members = make_member_program(ltro_jax.make_train(config), num_members)
    hypers = members.place(stack_hypers([config.hypers] * num_members))
    states = members.init(members.place(jnp.arange(num_members, dtype=jnp.uint32)), hypers)
    start = time.perf_counter()
    advance = members.advance.lower(states, hypers, jnp.int32(0)).compile()
    return states, hypers, advance, time.perf_counter() - start


def bench_members(config: ltro_jax.Config, num_members: int, calls: int) -> None:
    states, hypers, advance, compile_seconds = compiled_members(config, num_members)
    count, rates = config.static.eval_interval, []
    for call in range(calls + 1):
        start = time.perf_counter()
        states, metrics, _ = advance(states, hypers, jnp.int32(count))
        jax.block_until_ready((states, metrics))
        if call:  # the first one warms up
            steps = num_members * count * config.static.steps_per_iteration
            rates.append(steps / (time.perf_counter() - start))
    memory: Any = advance.memory_analysis()
    emit(
        "members",
        members=num_members,
        env_steps_per_second=round(statistics.median(rates)),
        compile_seconds=round(compile_seconds, 1),
        temp_mib_per_member=round(memory.temp_size_in_bytes / num_members / 2**20, 1),
    )


def bench_algorithms(configs: dict[str, ltro_jax.Config], repeats: int) -> None:
    calls = {}
    for name, config in configs.items():
        train = ltro_jax.make_train(config)
        state = jax.jit(train.init)(0, config.hypers)
        calls[name] = functools.partial(jax.jit(train.iterate), state, config.hypers)
    durations: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        jax.block_until_ready(call())
    for _ in range(repeats):  # alternate, so that a noisy neighbour affects all equally
        for name, call in calls.items():
            start = time.perf_counter()
            jax.block_until_ready(call())
            durations[name].append(time.perf_counter() - start)
    base = durations["mappo"]
    ratios = {
        name: round(statistics.median(a / b for a, b in zip(times, base, strict=True)), 3)
        for name, times in durations.items()
    }
    medians = {name: round(1e3 * statistics.median(times), 1) for name, times in durations.items()}
    emit("algorithms", milliseconds_per_iteration=medians, ratio_to_mappo=ratios)


def tree_bytes(tree: Any) -> int:
    return sum(int(np.prod(leaf.shape)) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def bench_memory(config: ltro_jax.Config, label: str) -> None:
    """Peak of one iteration; activations: per layer the product, its ReLU and LayerNorm, forward and backward."""
    train = ltro_jax.make_train(config)
    parts, hypers = train.parts, config.hypers
    state = jax.eval_shape(train.init, 0, hypers)
    _, transitions, _ = jax.eval_shape(lambda k, s: rollout(k, s, hypers, parts), jax.random.key(0), state)
    state_bytes = tree_bytes((state.agents, state.critic, state.env_state, state.timestep))
    samples = config.static.steps_per_iteration // config.static.actor_minibatches
    width = parts.spec.observation_size + 3 * sum(config.static.hidden_sizes) + parts.spec.action_size
    activation_bytes = 2 * 4 * samples * width
    compiled = jax.jit(train.iterate, donate_argnums=0).lower(state, hypers).compile()
    memory: Any = compiled.memory_analysis()
    peak = memory.temp_size_in_bytes + memory.argument_size_in_bytes + memory.output_size_in_bytes
    peak -= memory.alias_size_in_bytes
    budget = state_bytes + tree_bytes(transitions) + activation_bytes
    emit(
        "memory",
        setting=label,
        peak_mib=round(peak / 2**20, 2),
        state_mib=round(state_bytes / 2**20, 2),
        rollout_mib=round(tree_bytes(transitions) / 2**20, 2),
        activations_mib=round(activation_bytes / 2**20, 2),
        peak_over_budget=round(peak / budget, 3),
    )


def bench_start() -> None:
    """Fresh processes: imports, tracing, compiling (or loading) and the first device call."""
    with tempfile.TemporaryDirectory() as cache:
        for label in ("cold", "warm"):
            environment = os.environ | {"LTRO_COMPILATION_CACHE": cache}
            start = time.perf_counter()
            output = subprocess.run(
                [sys.executable, __file__, "--child_start"], env=environment, check=True, capture_output=True, text=True
            ).stdout
            emit("start", cache=label, process_seconds=round(time.perf_counter() - start, 1), **json.loads(output))


def child_start() -> None:
    """The steps of `ltro train` up to its first device call."""
    use_compilation_cache()
    config, times = ltro_jax.load_preset(TASK), [time.perf_counter()]
    members = make_member_program(ltro_jax.make_train(config), 1)
    hypers, seeds = members.place(stack_hypers([config.hypers])), members.place(jnp.zeros(1, jnp.uint32))
    times.append(time.perf_counter())
    template = jax.eval_shape(members.init, seeds, hypers)
    lowered = members.init.lower(seeds, hypers), members.advance.lower(template, hypers, jnp.int32(0))
    times.append(time.perf_counter())
    init, advance = compile_together(*lowered)
    times.append(time.perf_counter())
    jax.block_until_ready(advance(init(seeds, hypers), hypers, jnp.int32(1))[1])
    times.append(time.perf_counter())
    names = ("import_environment", "trace_and_lower", "compile_or_load", "first_iteration")
    print(
        json.dumps(
            {f"{name}_seconds": round(b - a, 1) for name, (a, b) in zip(names, itertools.pairwise(times), strict=True)}
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, nargs="*", default=[1, 4, 16])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--child_start", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child_start:
        return child_start()
    device = jax.devices()[0]
    emit(
        "machine",
        device=device.device_kind,
        platform=device.platform,
        cores=os.cpu_count(),
        python=platform.python_version(),
        jax=jax.__version__,
        ltro_jax=ltro_jax.__version__,
    )
    config = ltro_jax.load_preset(TASK)
    bench_start()
    ceiling = matmul_ceiling()
    emit("ceiling", gflops=round(ceiling, 1))
    bench_split(config, ceiling, options.repeats)
    names = ("mappo", "clip_happo", "happo", "clip_hatrpo")
    bench_algorithms({name: ltro_jax.load_preset(TASK, name) for name in names}, options.repeats)
    for label, settings in (
        ("paper", {}),
        ("10 epochs", {"actor_epochs": 10, "critic_epochs": 10}),
        ("N = 6", {"num_agents": 6}),
        ("4 minibatches", {"actor_minibatches": 4, "critic_minibatches": 4}),
        ("ippo, N = 6", {"algorithm": "ippo", "num_agents": 6}),
    ):
        bench_memory(config.replace(**settings), label)
    for num_members in options.members:
        bench_members(config, num_members, calls=3)


if __name__ == "__main__":
    main()
