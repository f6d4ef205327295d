"""Members of a sweep as one program: vmapped on each accelerator (in sequence on a CPU), sharded over devices."""

from ltro_jax.parallel.members import MemberProgram, compile_together, make_member_program, stack_hypers, stack_members
from ltro_jax.parallel.mesh import Layout, member_layout

__all__ = [
    "Layout",
    "MemberProgram",
    "compile_together",
    "make_member_program",
    "member_layout",
    "stack_hypers",
    "stack_members",
]
