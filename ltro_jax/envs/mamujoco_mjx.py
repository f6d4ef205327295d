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
from ltro_jax.envs.mamujoco_rewards import Readings
from ltro_jax.process.imports import import_quietly, without_warnings
from ltro_jax.types import Array

TORSO = 1  # body of the model
STAGE_WEIGHTS = (1 / 6, 1 / 3, 1 / 3, 1 / 6)  # classical Runge-Kutta: of each stage's derivative in the step
STAGE_STEPS = (0.5, 0.5, 1.0, 0.0)  # share of the step from the start to the next stage


class MjxState(struct.PyTreeNode):
    """One environment under way."""

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
        if not self.body.inertias:
            return state, self._readings(state, jnp.zeros_like(qpos[0]), jnp.zeros(0, jnp.float32))
        with without_warnings():
            data = self._mjx.forward(self._on_device, self._template.replace(qpos=qpos, qvel=qvel))
        state = state.replace(marker=self._marker(data))
        return state, self._readings(state, jnp.zeros_like(qpos[0]), self._extra(data))

    def advance(self, physics: MjxState, control: Array) -> tuple[MjxState, Readings]:
        """`frame_skip` steps under the controls `[nu]` float32, which the actuators clip."""
        data = self._template.replace(
            qpos=physics.qpos, qvel=physics.qvel, qacc_warmstart=physics.warm_start, ctrl=control
        )
        step = self._runge_kutta_step if self._runge_kutta else lambda data: self._mjx.step(self._on_device, data)
        with without_warnings():
            data = jax.lax.fori_loop(0, self.body.frame_skip, lambda _, data: step(data), data)
        state = MjxState(data.qpos, data.qvel, data.qacc_warmstart, self._marker(data))
        return state, self._readings(state, state.marker - physics.marker, self._extra(data))

    def _runge_kutta_step(self, data: Any) -> Any:
        """One step of the classical Runge-Kutta method; the body's derived quantities are those of its last stage."""
        seconds = self._on_device.opt.timestep
        first_qpos, first_qvel = data.qpos, data.qvel

        def stage(carry: Any, numbers: Array) -> tuple[Any, None]:
            data, qvel_sum, qacc_sum = carry
            weight, share = numbers
            data = self._mjx.forward(self._on_device, data)
            qvel_sum, qacc_sum = qvel_sum + weight * data.qvel, qacc_sum + weight * data.qacc
            qpos = self._move(first_qpos, share * data.qvel, seconds)
            qvel = first_qvel + share * seconds * data.qacc
            return (data.replace(qpos=qpos, qvel=qvel), qvel_sum, qacc_sum), None

        zeros = jnp.zeros_like(first_qvel)
        numbers = jnp.array([STAGE_WEIGHTS, STAGE_STEPS], first_qvel.dtype).T
        (data, qvel, qacc), _ = jax.lax.scan(stage, (data, zeros, zeros), numbers)
        return data.replace(
            qpos=self._move(first_qpos, qvel, seconds),
            qvel=first_qvel + seconds * qacc,
            qacc_warmstart=data.qacc,
            time=data.time + seconds,
        )

    def _move(self, qpos: Array, qvel: Array, seconds: Array) -> Array:
        """Positions `[nq]` after the velocities `[nv]` have acted for some seconds."""
        if self.model.nq == self.model.nv:
            return qpos + seconds * qvel
        place, turn = qpos[:3] + seconds * qvel[:3], rotated(qpos[3:7], seconds * qvel[3:6])
        return jnp.concatenate([place, turn, qpos[7:] + seconds * qvel[6:]])

    def _marker(self, data: Any) -> Array:
        """x of what the reward follows, as the last forward pass has it."""
        if self.body.follows == "coordinate":
            return data.qpos[0]
        if self.body.follows == "torso":
            return data.xpos[TORSO, 0]
        return self._on_device.body_mass @ data.xipos[:, 0] / jnp.sum(self._on_device.body_mass)

    def _extra(self, data: Any) -> Array:
        if not self.body.inertias:
            return jnp.zeros(0, jnp.float32)
        return jnp.concatenate([data._impl.cinert.ravel(), data.cvel.ravel(), data.qfrc_actuator])

    def _readings(self, state: MjxState, progress: Array, extra: Array) -> Readings:
        return Readings(state.qpos, state.qvel, progress, extra)


def rotated(quaternion: Array, turn: Array) -> Array:
    """The unit quaternion `[4]` after a rotation by the vector `turn` `[3]`, radians, in the body's own frame."""
    angle = jnp.sqrt(jnp.sum(jnp.square(turn)) + jnp.finfo(turn.dtype).tiny)
    w, v = jnp.cos(angle / 2), turn * (jnp.sin(angle / 2) / angle)
    q, u = quaternion[0], quaternion[1:]
    rotated = jnp.concatenate([(q * w - u @ v)[None], q * v + w * u + jnp.cross(u, v)])
    return rotated / jnp.linalg.norm(rotated)
