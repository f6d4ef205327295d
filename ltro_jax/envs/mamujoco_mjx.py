"""MuJoCo MJX behind the interface of `mamujoco_engine`, for accelerators.

The fourth-order Runge-Kutta integrator is a scan over one traced forward pass, which compiles several times faster than
MJX's own, unrolled. MJX has no PGS solver: the humanoid, whose model asks for it, runs with Newton's method, which
solves the same convex problem.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from ltro_jax.config import SettingsError
from ltro_jax.envs.mamujoco_bodies import BODIES, load_model
from ltro_jax.envs.mamujoco_rewards import Readings, extra_size
from ltro_jax.process.imports import import_quietly, without_warnings
from ltro_jax.types import Array

TORSO = 1  # body of the model
SHORTEST_AXIS = 1e-6  # of a capsule's axis, of unit length, in the plane; the direction of a shorter one is noise
STAGE_WEIGHTS = (1 / 6, 1 / 3, 1 / 3, 1 / 6)  # classical Runge-Kutta: of each stage's derivative in the step
STAGE_STEPS = (0.5, 0.5, 1.0, 0.0)  # share of the step from the start to the next stage


class MjxState(struct.PyTreeNode):
    """The state of the physics of an environment."""

    qpos: Array  # [nq] float32
    qvel: Array  # [nv] float32
    warm_start: Array  # [nv] float32, accelerations from which the solver starts
    marker: Array  # [] float32, x of what the reward follows


class MjxEngine:
    """MJX of one body.

    Raises:
        SettingsError: MJX cannot run the model.
        ImportError: mujoco-mjx or gymnasium is not installed.
    """

    def __init__(self, body_name: str):
        mujoco: Any = import_quietly("mujoco")
        self._mjx: Any = import_quietly("mujoco.mjx")
        self.body = BODIES[body_name]
        self.model = load_model(body_name)
        if self.model.opt.solver == mujoco.mjtSolver.mjSOL_PGS:
            self.model.opt.solver = mujoco.mjtSolver.mjSOL_NEWTON
        self._runge_kutta = self.model.opt.integrator == mujoco.mjtIntegrator.mjINT_RK4
        self._free = int(self.model.jnt_type[0]) == mujoco.mjtJoint.mjJNT_FREE.value  # the torso moves freely in space
        self._plane, self._capsule = int(mujoco.mjtGeom.mjGEOM_PLANE), int(mujoco.mjtGeom.mjGEOM_CAPSULE)
        with without_warnings():
            try:
                self._on_device = self._mjx.put_model(self.model)
            except NotImplementedError as error:
                raise SettingsError(
                    f"backend = 'mjx' cannot run {body_name}: {error}; use backend = 'mujoco' on a CPU"
                ) from error
            self._template = self._mjx.make_data(self._on_device)

    def start(self, position_noise: Array, velocity_noise: Array) -> tuple[MjxState, Readings]:
        """The initial state with noise `[nq]` and `[nv]` added."""
        qpos, qvel = self._template.qpos + position_noise, self._template.qvel + velocity_noise
        state = MjxState(qpos, qvel, jnp.zeros_like(qvel), qpos[0])
        extra = jnp.zeros(0, qpos.dtype)
        if self.body.inertias:
            with without_warnings():
                data = self._forward(state, jnp.zeros(self.model.nu, qpos.dtype))
            state, extra = state.replace(marker=self._marker(data)), self._extra(data)
        return state, Readings(qpos, qvel, jnp.zeros_like(qpos[0]), extra)

    def advance(self, physics: MjxState, control: Array) -> tuple[MjxState, Readings]:
        """`frame_skip` steps under the controls `[nu]` float32, which the actuators clip."""
        step = self._runge_kutta_step if self._runge_kutta else self._euler_step
        extra = jnp.zeros(extra_size(self.body, self.model.nv, self.model.nbody), physics.qpos.dtype)

        def one_step(_: Any, carry: tuple[MjxState, Array]) -> tuple[MjxState, Array]:
            return step(carry[0], control)

        with without_warnings():
            state, extra = jax.lax.fori_loop(0, self.body.frame_skip, one_step, (physics, extra))
        return state, Readings(state.qpos, state.qvel, state.marker - physics.marker, extra)

    def _forward(self, state: MjxState, control: Array) -> Any:
        """MuJoCo's forward dynamics: accelerations and all that they depend on, from positions and velocities."""
        mjx = self._mjx
        data = self._template.replace(qpos=state.qpos, qvel=state.qvel, qacc_warmstart=state.warm_start, ctrl=control)
        position = mjx.kinematics, mjx.com_pos, mjx.tendon, mjx.crb, mjx.tendon_armature, mjx.factor_m
        contact = mjx.collision, self._align_contacts, mjx.make_constraint, mjx.transmission
        for stage in (*position, *contact, mjx.fwd_velocity, mjx.fwd_actuation, mjx.fwd_acceleration, mjx.solve):
            data = stage(self._on_device, data)
        return data

    def _align_contacts(self, on_device: Any, data: Any) -> Any:
        """Turn the tangents of contacts between a plane and a capsule into the capsule's axis, as the C engine does.

        The friction pyramid follows the tangents. MJX uses fixed ones where the capsule is steeper than 60 degrees.
        """
        contact = data._impl.contact
        types = jnp.asarray(self.model.geom_type)
        first, second = types[contact.geom[:, 0]], types[contact.geom[:, 1]]
        chosen = (first == self._plane) & (second == self._capsule)
        normal, axis = contact.frame[:, 0], data.geom_xmat[contact.geom[:, 1]][:, :, 2]
        along = axis - normal * jnp.sum(normal * axis, axis=1, keepdims=True)
        length = jnp.linalg.norm(along, axis=1, keepdims=True)
        along = along / jnp.maximum(length, SHORTEST_AXIS)
        aligned = jnp.stack([normal, along, jnp.cross(normal, along)], axis=1)
        chosen = chosen[:, None, None] & (length > SHORTEST_AXIS)[:, :, None]
        return data.tree_replace({"_impl.contact.frame": jnp.where(chosen, aligned, contact.frame)})

    def _euler_step(self, state: MjxState, control: Array) -> tuple[MjxState, Array]:
        """One step of MuJoCo's semi-implicit Euler method."""
        data = self._mjx.euler(self._on_device, self._forward(state, control))
        return MjxState(data.qpos, data.qvel, data.qacc_warmstart, self._marker(data)), self._extra(data)

    def _runge_kutta_step(self, first: MjxState, control: Array) -> tuple[MjxState, Array]:
        """One step of the Runge-Kutta method; the body's derived quantities are those of its last stage."""
        seconds = self._on_device.opt.timestep

        def stage(carry: Any, numbers: Array) -> tuple[Any, tuple[Array, Array]]:
            state, moved, qpos_sum, qacc_sum = carry
            weight, share = numbers
            data = self._forward(state, control)
            rate = self._rate(moved, data.qvel)
            moved = share * seconds * rate
            state = MjxState(
                qpos=self._move(first.qpos, moved),
                qvel=first.qvel + share * seconds * data.qacc,
                warm_start=data.qacc,
                marker=first.marker,
            )
            carry = state, moved, qpos_sum + weight * rate, qacc_sum + weight * data.qacc
            return carry, (self._marker(data), self._extra(data))

        zeros = jnp.zeros_like(first.qvel)
        numbers = jnp.array([STAGE_WEIGHTS, STAGE_STEPS], first.qvel.dtype).T
        (last, _, rate, qacc), (markers, extras) = jax.lax.scan(stage, (first, zeros, zeros, zeros), numbers)
        qpos, qvel = self._move(first.qpos, seconds * rate), first.qvel + seconds * qacc
        marker = qpos[0] if self.body.follows == "coordinate" else markers[-1]
        return MjxState(qpos, qvel, last.warm_start, marker), extras[-1]

    def _rate(self, moved: Array, qvel: Array) -> Array:
        """Rate `[nv]` of the displacement `moved` `[nv]` since the start of the step.

        For the torso's rotation it is the inverse of the exponential map's derivative, to the order of the method
        (Munthe-Kaas 1998), as in the C engine.
        """
        if not self._free:
            return qvel
        once = jnp.cross(moved[3:6], qvel[3:6])
        return qvel.at[3:6].add(once / 2 + jnp.cross(moved[3:6], once) / 12)

    def _move(self, qpos: Array, moved: Array) -> Array:
        """Positions `[nq]` after the displacement `[nv]`."""
        if not self._free:
            return qpos + moved
        turn = rotated(qpos[3:7], moved[3:6])
        return jnp.concatenate([qpos[:3] + moved[:3], turn, qpos[7:] + moved[6:]])

    def _marker(self, data: Any) -> Array:
        """x of what the reward follows, as the last forward pass has it."""
        if self.body.follows == "coordinate":
            return data.qpos[0]
        if self.body.follows == "torso":
            return data.xpos[TORSO, 0]
        return self._on_device.body_mass @ data.xipos[:, 0] / jnp.sum(self._on_device.body_mass)

    def _extra(self, data: Any) -> Array:
        if not self.body.inertias:
            return jnp.zeros(0, data.qpos.dtype)
        return jnp.concatenate([data._impl.cinert.ravel(), data.cvel.ravel(), data.qfrc_actuator])


def rotated(quaternion: Array, turn: Array) -> Array:
    """The unit quaternion `[4]` after a rotation by the vector `turn` `[3]`, radians, in the body's own frame."""
    angle = jnp.sqrt(jnp.sum(jnp.square(turn)) + jnp.finfo(turn.dtype).tiny)
    w, v = jnp.cos(angle / 2), turn * (jnp.sin(angle / 2) / angle)
    q, u = quaternion[0], quaternion[1:]
    rotated = jnp.concatenate([(q * w - u @ v)[None], q * v + w * u + jnp.cross(u, v)])
    return rotated / jnp.linalg.norm(rotated)
