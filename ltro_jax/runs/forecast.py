"""What a run would take, measured on one group of its members: memory, groups, time."""

import time
from datetime import timedelta

import jax
import jax.numpy as jnp

from ltro_jax.config import Config
from ltro_jax.parallel import compile_together, make_member_program, member_layout, stack_members
from ltro_jax.runs.compilation_cache import use_compilation_cache
from ltro_jax.runs.memory import device_memory, fitting_group, program_memory
from ltro_jax.training import make_train

GIB = 2**30


def forecast(name: str, config: Config) -> str:
    """Compile the program of one group on one device, run one iteration of it, and extrapolate; nothing is written.

    Args:
        name: what to call it.
        config: of the run.
    Returns:
        A few lines: members, devices, groups, memory of a member and of a device, compile time, predicted time.
    """
    use_compilation_cache()
    train, everyone = make_train(config), config.members
    at_once = config.run.members_at_once
    while True:
        layout = member_layout(len(everyone), at_once=at_once)
        device = layout.mesh.devices.flat[0]
        some = everyone[: layout.at_once]
        group = make_member_program(train, len(some), member_layout(len(some), [device], layout.at_once))
        seeds, hypers = group.place(stack_members(some))
        began = time.perf_counter()
        states = jax.eval_shape(jax.vmap(train.init), seeds, hypers)
        init, advance = compile_together(
            group.init.lower(seeds, hypers), group.advance.lower(states, hypers, jnp.int32(1))
        )
        compiled = time.perf_counter() - began
        memory, available = program_memory(advance), device_memory(device)
        of_device = layout.num_rows // layout.mesh.size
        whole = memory._replace(states=memory.states * of_device // len(some))
        fitting = fitting_group(whole, layout.at_once, available)
        if fitting == layout.at_once:
            break
        at_once = fitting
    states = init(seeds, hypers)
    states, *_ = jax.block_until_ready(advance(states, hypers, jnp.int32(1)))
    began = time.perf_counter()
    jax.block_until_ready(advance(states, hypers, jnp.int32(1)))
    seconds = time.perf_counter() - began
    groups = of_device // layout.at_once
    total = seconds * groups * config.num_iterations
    return "\n".join(
        [
            f"{name}: {len(everyone)} members, {config.num_iterations} iterations of "
            f"{config.static.steps_per_iteration} env steps",
            f"  devices  {layout.mesh.size} × {device.device_kind}, {groups} groups of {layout.at_once} on each",
            f"  memory   {memory.total / len(some) / 2**20:.0f} MiB for a member; {whole.total / GIB:.2f} GiB of "
            f"{available / GIB:.1f} GiB on a device",
            f"  time     {compiled:.0f} s to compile, {seconds * groups:.2f} s for an iteration with its evaluation: "
            f"{timedelta(seconds=round(total))} in all, at most",
        ]
    )
