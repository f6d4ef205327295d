"""Evaluate the actors of some members in whole episodes, with as many parallel members as fit into device memory."""

from collections.abc import Sequence

import jax
import numpy as np

from ltro_jax.config import Member
from ltro_jax.parallel import make_member_program, member_layout, stack_members
from ltro_jax.runs.memory import Compiled, compile_fitting, half_after, program_memory
from ltro_jax.training import Train
from ltro_jax.types import RunnerState

EPISODES_AT_ONCE = 1000  # of each kind and member; more episodes take several passes
NEVER_AN_ITERATION = 2**31 - 1  # training folds the iteration into its keys


def evaluate_members(
    program: Train,
    members: Sequence[Member],
    states: RunnerState,
    num_episodes: int,
    kinds: tuple[str, ...],
    at_once: int | None = None,
) -> dict[str, np.ndarray]:
    """Means over new episodes, none of which occurs in training.

    Args:
        members: the S members.
        states: `[S, …]`, on the host; only the actors, `eval_key` and `iteration` are read; other fields may be None.
        num_episodes: number of episodes of each kind, ≥ 1.
        kinds: how the actors act.
        at_once: most parallel members per device; None = 1 on a CPU, elsewhere as many as fit.
    Returns:
        The metrics of `training.evaluate`, `[S]` float32.
    Raises:
        RunError: a single member does not fit into the memory of a device.
    """
    fold = jax.vmap(jax.random.fold_in, (0, None))
    keys = fold(states.eval_key, NEVER_AN_ITERATION)
    sizes = [min(EPISODES_AT_ONCE, num_episodes - done) for done in range(0, num_episodes, EPISODES_AT_ONCE)]

    def build(at_once: int | None) -> Compiled:
        group = make_member_program(program, len(members), member_layout(len(members), at_once=at_once))
        shapes = jax.eval_shape(group.place, (states, stack_members(members)[1]))
        compiled = {size: group.evaluate.lower(*shapes, size, kinds).compile() for size in dict.fromkeys(sizes)}
        return Compiled(group.layout, program_memory(compiled[sizes[0]]), (group, compiled))

    while True:
        layout, _, (group, compiled) = compile_fitting(build, at_once)
        try:
            hypers = group.place(stack_members(members)[1])
            passes = [
                group.collect(compiled[size](group.place(states.replace(eval_key=fold(keys, index))), hypers))
                for index, size in enumerate(sizes)
            ]
        except jax.errors.JaxRuntimeError as error:
            at_once = half_after(error, layout.at_once, "evaluate fewer episodes or use another device")
        else:
            return {
                name: np.average([rows[name] for rows in passes], 0, sizes).astype(np.float32) for name in passes[0]
            }
