"""The memory and time that a run needs, measured on one group of its members."""

import time
from datetime import timedelta

import jax
import jax.numpy as jnp

from ltro_jax.config import Config
from ltro_jax.parallel import compile_together, make_member_program, member_layout, stack_members
from ltro_jax.runs.compilation_cache import use_compilation_cache
from ltro_jax.runs.memory import Compiled, compile_fitting, device_memory, program_memory
from ltro_jax.training import make_train

GIB = 2**30


def forecast(name: str, config: Config) -> str:
    """Compile the program of one group on one device, run one iteration, and extrapolate; writes no file.

    Args:
        name: first word of the text.
        config: settings of the run.
    Returns:
        Lines of text: members, devices, groups, memory of a member and of a device, compile time, predicted time.
    """
    use_compilation_cache()
    train, everyone = make_train(config), config.members

    def build(at_once: int | None) -> Compiled:
        layout = member_layout(len(everyone), at_once=at_once)
        group_members = everyone[: layout.at_once]
        device = layout.mesh.devices.flat[0]
        group = make_member_program(
            train, len(group_members), member_layout(len(group_members), [device], layout.at_once)
        )
        seeds, hypers = group.place(stack_members(group_members))
        began = time.perf_counter()
        states = jax.eval_shape(jax.vmap(train.init), seeds, hypers)
        init, advance = compile_together(
            group.init.lower(seeds, hypers), group.advance.lower(states, hypers, jnp.int32(1))
        )
        compiled, memory = time.perf_counter() - began, program_memory(advance)
        states_of_device = memory.states * (layout.num_rows // layout.mesh.size) // len(group_members)
        whole = memory._replace(states=states_of_device)
        return Compiled(layout, whole, (init, advance, seeds, hypers, memory, compiled))

    layout, whole, (init, advance, seeds, hypers, memory, compiled) = compile_fitting(build, config.run.members_at_once)
    device, of_device = layout.mesh.devices.flat[0], layout.num_rows // layout.mesh.size
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
            f"  memory   {memory.total / layout.at_once / 2**20:.0f} MiB for a member; {whole.total / GIB:.2f} GiB of "
            f"{device_memory(device) / GIB:.1f} GiB on a device",
            f"  time     {compiled:.0f} s to compile, {seconds * groups:.2f} s for an iteration with its evaluation: "
            f"{timedelta(seconds=round(total))} in all, at most",
        ]
    )
