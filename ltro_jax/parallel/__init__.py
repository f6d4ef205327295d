"""Members of a sweep as one program: vmapped on each accelerator (in turn on a CPU), sharded over devices."""

from ltro_jax.parallel.members import MemberProgram, compile_together, make_member_program, stack_hypers, stack_members
from ltro_jax.parallel.mesh import Layout, member_layout
from ltro_jax.parallel.processes import join_processes, wait_for_all

__all__ = [
    "Layout",
    "MemberProgram",
    "compile_together",
    "join_processes",
    "make_member_program",
    "member_layout",
    "stack_hypers",
    "stack_members",
    "wait_for_all",
]
