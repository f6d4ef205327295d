"""Members of a sweep as one program: vmapped on each accelerator (in turn on a CPU), sharded over devices."""

from ltro_jax.parallel.members import MemberProgram, compile_together, make_member_program, stack_hypers, stack_members
from ltro_jax.parallel.mesh import member_mesh

__all__ = ["MemberProgram", "compile_together", "make_member_program", "member_mesh", "stack_hypers", "stack_members"]
