"""Members of a sweep side by side: vmapped on each device, sharded over devices."""

from ltro_jax.parallel.members import MemberProgram, make_member_program, stack_hypers
from ltro_jax.parallel.mesh import member_mesh

__all__ = ["MemberProgram", "make_member_program", "member_mesh", "stack_hypers"]
