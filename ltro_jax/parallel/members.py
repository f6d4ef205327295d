"""All members as one compiled program. A member is a (seed, hyper-parameters) pair; members never mix.

On an accelerator, the members of a device are vmapped in groups that fit into its memory. On a CPU, members run one
after another: XLA runs a vmapped matrix product of few members on few threads, so that a member takes 2.5 times as long
(two cores, paper's sizes). A plain product uses every core, keeps the activations of only one member in memory, and
gives a member the same bits in any sweep.
"""

import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jax.stages import Compiled, Lowered, Wrapped

from ltro_jax.config import Hypers, Member
from ltro_jax.parallel.mesh import MEMBERS, Layout, member_layout
from ltro_jax.training import Train
from ltro_jax.training.evaluation import KINDS
from ltro_jax.types import Array, RunnerState

PER_MEMBER, SAME = PartitionSpec(MEMBERS), PartitionSpec()


class MemberProgram(NamedTuple):
    """`Train` over a leading axis of rows, jitted and sharded; arguments and results are `[rows, …]`.

    init: `(seeds uint32, hypers) → states`
    advance: `(states, hypers, num_iterations) → (states, metrics, evaluation)`; the states passed in are donated
    evaluate: `(states, hypers, num_episodes static, kinds static) → {name: …}`, by position
    place: copies JAX or NumPy arrays of the members `[S, …]` into rows, each directly to its device
    collect: arrays in rows → the members `[S, …]` in host memory: NumPy arrays and typed keys
    layout: the arrangement of members in rows
    """

    init: Wrapped
    advance: Wrapped
    evaluate: Wrapped
    place: Callable[[Any], Any]
    collect: Callable[[Any], Any]
    layout: Layout


def stack_hypers(points: Sequence[Hypers]) -> Hypers:
    """Hyper-parameters of S members: leaves `[S]` float32."""
    return jax.tree.map(lambda *leaves: jnp.asarray(np.array(leaves, np.float32)), *points)


def stack_members(members: Sequence[Member]) -> tuple[Array, Hypers]:
    """Seeds `[S]` uint32 and hyper-parameters `[S]` float32 of the members."""
    return jnp.asarray([member.seed for member in members], jnp.uint32), stack_hypers([m.hypers for m in members])


def in_groups(function: Callable, in_axes: Sequence[int | None], size: int) -> Callable:
    """Like `jax.vmap(function, in_axes)` for axes 0 and None, but in sequential groups of `size` members."""

    def call(*arguments: Any) -> Any:
        def member(values: tuple[Any, ...]) -> Any:
            its = iter(values)
            return function(
                *(shared if axis is None else next(its) for shared, axis in zip(arguments, in_axes, strict=True))
            )

        mapped = tuple(a for a, axis in zip(arguments, in_axes, strict=True) if axis == 0)
        return jax.lax.map(member, mapped, batch_size=None if size == 1 else size)

    return call


def compiler_options(platform: str) -> dict[str, int] | None:
    """XLA's compiler options: on a CPU, LLVM's third level compiles a third longer and the program runs no faster.

    A level set by `XLA_FLAGS` or `JAX_DISABLE_MOST_OPTIMIZATIONS` takes precedence.
    """
    level = "xla_backend_optimization_level"
    chosen = level in os.environ.get("XLA_FLAGS", "") or jax.config.read("jax_disable_most_optimizations")
    return {level: 2} if platform == "cpu" and not chosen else None


def compile_together(*lowered: Lowered) -> list[Compiled]:
    """Compile lowered programs in parallel: one compilation does not keep two cores busy."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda program: program.compile(), lowered))


def make_member_program(train: Train, num_members: int, layout: Layout | None = None) -> MemberProgram:
    """Build the program of S members, by default on all devices of this process."""
    layout = layout or member_layout(num_members)
    mesh, num_rows = layout.mesh, layout.num_rows
    everything_at_once = layout.at_once == num_rows // mesh.size > 1
    jit = functools.partial(jax.jit, compiler_options=compiler_options(mesh.devices.flat[0].platform))

    def spread(function: Callable, *in_axes: int | None) -> Callable:
        if everything_at_once:
            members = jax.vmap(function, in_axes=in_axes)
        else:
            members = in_groups(function, in_axes, layout.at_once)
        specs = tuple(SAME if axis is None else PER_MEMBER for axis in in_axes)
        return jax.shard_map(members, mesh=mesh, in_specs=specs, out_specs=PER_MEMBER, check_vma=False)

    per_member, same = NamedSharding(mesh, PER_MEMBER), NamedSharding(mesh, SAME)

    @functools.partial(jit, static_argnums=(2, 3), in_shardings=(per_member, per_member), out_shardings=per_member)
    def evaluate(
        states: RunnerState, hypers: Hypers, num_episodes: int | None = None, kinds: tuple[str, ...] = KINDS
    ) -> dict[str, Array]:
        of_member = functools.partial(train.evaluate, num_episodes=num_episodes, kinds=kinds)
        return spread(of_member, 0, 0)(states, hypers)

    def place(tree: Any) -> Any:
        rows = np.minimum(np.arange(num_rows), num_members - 1)
        padded = tree if num_rows == num_members else jax.tree.map(lambda leaf: leaf[rows], tree)
        # Copy: states are donated, and donated memory must not belong to NumPy or the caller.
        return jax.device_put(padded, per_member, may_alias=False)

    def collect(tree: Any) -> Any:
        return jax.tree.map(lambda leaf: _on_host(leaf, num_members), tree)

    return MemberProgram(
        init=jit(spread(train.init, 0, 0), in_shardings=per_member, out_shardings=per_member),
        advance=jit(
            spread(train.advance, 0, 0, None),
            in_shardings=(per_member, per_member, same),
            out_shardings=per_member,
            donate_argnums=0,
        ),
        evaluate=evaluate,
        place=place,
        collect=collect,
        layout=layout,
    )


def _on_host(leaf: Array, count: int) -> Any:
    """The first rows. Slicing on the devices would copy a sharded array in full to each of them."""
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        data = np.asarray(jax.random.key_data(leaf))[:count]
        return jax.random.wrap_key_data(jnp.asarray(data), impl=jax.random.key_impl(leaf))
    return np.asarray(leaf)[:count]
