"""How cost grows with agents, members and tasks, in one comparable table. One JSON object per line.

    python experiments/bench_scale.py                                           # about 15 minutes on 2 quiet cores
    python experiments/bench_scale.py --agents 3 48 --tasks smax/3m             # some of it
    python experiments/bench_scale.py --members 1 16 128 1024 --precision highest high default     # on an accelerator

Every line has: `env_steps_per_second` (steady, all members), `update_gflops` (matrix products of actor and critic
updates, 2mnk, forward 1 and backward 2, over the time of the WHOLE iteration, so a lower bound; feed-forward only),
`share` (of the best product loop of this process), `compile_seconds`, `peak_mib` (arguments, results and temporaries as
XLA plans them), `state_mib` (of a member).

- `agents`: simple_spread, the paper's settings, N = 3 … 48, one member, clip_happo, and mappo as the base of the ratio.
- `members`: simple_spread, N = 3, S members.
- `intervals`: simple_spread, a program of that many iterations per call (the timed call runs one).
- `tasks`: presets, one member.
- `small`: JaxMARL's IPPO settings (shared 2 × 64 network without LayerNorm, 16 environments × 128 steps, 4 epochs ×
  4 minibatches, discrete actions) with mappo and clip_happo.
- `precision`: matmul_precision, accelerators only.
"""

import argparse
import platform
import statistics
import time
from typing import Any

import jax
import jax.numpy as jnp
from bench import emit, matmul_ceiling, update_flops

import ltro_jax
from ltro_jax.envs import missing_extra
from ltro_jax.parallel import make_member_program, stack_members

SPREAD = "mpe/simple_spread"
SMALL = {
    "continuous_actions": False,
    "share_parameters": "all",
    "agent_id": True,
    "hidden_sizes": "64,64",
    "layer_norm": False,
    "num_envs": 16,
    "rollout_length": 128,
    "actor_epochs": 4,
    "critic_epochs": 4,
    "actor_minibatches": 4,
    "critic_minibatches": 4,
}


def measure(config: ltro_jax.Config, calls: int, ceiling: float, label: dict[str, Any]) -> float:
    """Emit one line; return the seconds of an iteration of all members, the median over `calls`."""
    config = config.replace(eval_episodes=0)
    members = make_member_program(ltro_jax.make_train(config), len(config.members))
    seeds, hypers = members.place(stack_members(config.members))
    states = members.init(seeds, hypers)
    began = time.perf_counter()
    advance = members.advance.lower(states, hypers, jnp.int32(1)).compile()
    compile_seconds, durations = time.perf_counter() - began, []
    for _ in range(calls + 1):  # the first one warms up
        began = time.perf_counter()
        states, *_ = jax.block_until_ready(advance(states, hypers, jnp.int32(1)))
        durations.append(time.perf_counter() - began)
    seconds, memory = statistics.median(durations[1:]), advance.memory_analysis()
    assert memory is not None  # every platform of this benchmark reports it
    num_members, rates = len(config.members), {}
    if not config.static.recurrent:
        gflops = num_members * update_flops(config) / seconds / 1e9
        rates = {"update_gflops": round(gflops, 1), "share": round(gflops / ceiling, 3)}
    planned = memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
    emit(
        **label,
        env_steps_per_second=round(num_members * config.static.steps_per_iteration / seconds),
        milliseconds=round(1e3 * seconds, 1),
        compile_seconds=round(compile_seconds, 1),
        peak_mib=round((planned + memory.temp_size_in_bytes) / 2**20, 1),
        state_mib=round(memory.argument_size_in_bytes / num_members / 2**20, 2),
        **rates,
    )
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", type=int, nargs="*", default=[3, 6, 12, 24, 48])
    parser.add_argument("--members", type=int, nargs="*", default=[1, 4, 16])
    parser.add_argument("--intervals", type=int, nargs="*", default=[1, 10, 100])
    parser.add_argument("--tasks", nargs="*", default=["smax/3m", "smax/27m_vs_30m", "mabrax/ant_4x2"])
    parser.add_argument("--precision", nargs="*", default=[], choices=["highest", "high", "default"])
    parser.add_argument("--calls", type=int, default=5)
    options = parser.parse_args()
    device = jax.devices()[0]
    emit("machine", device=device.device_kind, python=platform.python_version(), jax=jax.__version__)
    ceiling = matmul_ceiling()
    emit("ceiling", gflops=round(ceiling, 1))

    def run(figure: str, task: str, algorithm: str = "clip_happo", members: int = 1, **settings: Any) -> float:
        config = ltro_jax.load_preset(task, algorithm, seeds=f"0:{members}", **{"eval_interval": 1} | settings)
        label = {"figure": figure, "task": task, "algorithm": algorithm, "members": members} | settings
        return measure(config, options.calls, ceiling, label)

    for number in options.agents:
        base = run("agents", SPREAD, "mappo", num_agents=number)
        ratio = run("agents", SPREAD, num_agents=number) / base
        emit("agents_ratio", num_agents=number, clip_happo_over_mappo=round(ratio, 3))
    for members in options.members:
        run("members", SPREAD, members=members)
    for interval in options.intervals:
        run("intervals", SPREAD, eval_interval=interval)
    for precision in options.precision:
        run("precision", SPREAD, members=max(options.members, default=1), matmul_precision=precision)
    for task in options.tasks:
        if missing_extra(task):
            emit("skipped", task=task, reason=f"needs the extra {missing_extra(task)}")
        else:
            run("tasks", task)
    for algorithm in ("mappo", "clip_happo"):
        run("small", SPREAD, algorithm, **SMALL)


if __name__ == "__main__":
    main()
