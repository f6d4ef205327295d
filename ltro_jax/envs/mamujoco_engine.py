"""MuJoCo's C engine inside a compiled program: the only host callback of the package.

`jax.pure_callback` hands a whole batch of environments to threads of this file, each with its own `MjData`. An
environment's state is MuJoCo's full integration state (`mjSTATE_INTEGRATION`, the solver's warm start included) as
float64, stored as pairs of 32-bit words. The result of a step depends on nothing else, so it has the same bits in any
batch, on any thread and after a resume.

`mujoco.rollout.Rollout` is not used: it returns neither the warm start nor the quantities of the last Runge-Kutta stage
(positions of bodies, inertias), from which gymnasium computes the rewards of ant and humanoid.
"""

import functools
import importlib
import itertools
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ltro_jax.config import SettingsError
from ltro_jax.envs.mamujoco_bodies import BODIES, Body, load_model
from ltro_jax.envs.mamujoco_rewards import Readings, extra_size
from ltro_jax.types import Array

TORSO = 1  # body of the model
FEWEST_PER_THREAD = 4  # environments; a smaller share is not worth a thread


class Fields(NamedTuple):
    """Places of a batch's fields in the rows of float64 numbers."""

    qpos: slice
    qvel: slice
    control: slice
    marker: int  # x of what the reward follows, after the last step: kept beside MuJoCo's state


class MujocoEngine:
    """The C engine of one body; `physics` is `[2 · (state size + 1)]` uint32.

    Raises:
        SettingsError: JAX runs on an accelerator.
        ImportError: mujoco or gymnasium is not installed.
    """

    def __init__(self, body_name: str):
        if jax.default_backend() != "cpu":
            raise SettingsError(
                f"backend = 'mujoco' runs on a CPU only, and JAX uses {jax.default_backend()!r}; use backend = 'mjx'"
            )
        assert sys.byteorder == "little", "the order of the words"
        self.body = BODIES[body_name]
        self.model = load_model(body_name)
        mujoco: Any = importlib.import_module("mujoco")
        self._stepper = _Stepper(mujoco, self.model, self.body)
        data = mujoco.MjData(self.model)
        self._initial = self._stepper.initial(data).view(np.uint32)
        self._initial_qpos, self._initial_qvel = (np.asarray(numbers, np.float32) for numbers in (data.qpos, data.qvel))

    def start(self, position_noise: Array, velocity_noise: Array) -> tuple[Array, Readings]:
        """The initial state with noise `[nq]` and `[nv]` added, at rest before the first step."""
        fields, model = self._stepper.fields, self.model
        qpos = jnp.add(self._initial_qpos, position_noise)
        qvel = jnp.add(self._initial_qvel, velocity_noise)
        words = jnp.asarray(self._initial).reshape(-1, 2)
        words = words.at[fields.qpos].set(float64_words(qpos)).at[fields.qvel].set(float64_words(qvel))
        words = words.at[fields.marker].set(float64_words(qpos[0])).reshape(-1)
        if not self.body.inertias:
            return words, Readings(qpos, qvel, jnp.zeros((), jnp.float32), jnp.zeros(0, jnp.float32))
        return self._call(self._stepper.forward, words, jnp.zeros(model.nu, jnp.float32))

    def advance(self, physics: Array, control: Array) -> tuple[Array, Readings]:
        """`frame_skip` steps under the controls `[nu]` float32, which the actuators clip."""
        return self._call(self._stepper.step, physics, control)

    def _call(self, function: Any, words: Array, control: Array) -> tuple[Array, Readings]:
        model = self.model
        size = model.nq + model.nv + 1 + self._stepper.extra_size
        results = (jax.ShapeDtypeStruct(words.shape, jnp.uint32), jax.ShapeDtypeStruct((size,), jnp.float32))
        words, row = jax.pure_callback(function, results, words, control, vmap_method="broadcast_all")
        qpos, qvel, progress, extra = jnp.split(row, np.cumsum([model.nq, model.nv, 1]))
        return words, Readings(qpos, qvel, progress[0], extra)


class _Stepper:
    """The host's side: batches `[…, 2·n]` uint32 and `[…, nu]` float32 in, the same words and rows of readings out."""

    def __init__(self, mujoco: Any, model: Any, body: Body):
        self._mujoco, self._model, self._body = mujoco, model, body
        self._spec = mujoco.mjtState.mjSTATE_INTEGRATION.value
        self._size = mujoco.mj_stateSize(model, self._spec)
        state = mujoco.mjtState
        self.fields = Fields(
            qpos=self._place(state.mjSTATE_QPOS, model.nq),
            qvel=self._place(state.mjSTATE_QVEL, model.nv),
            control=self._place(state.mjSTATE_CTRL, model.nu),
            marker=self._size,
        )
        self.extra_size = extra_size(body, model.nv, model.nbody)
        self._masses = model.body_mass / model.body_mass.sum()
        self._idle: list[Any] = []  # MjData that no thread uses now

    def _place(self, element: Any, length: int) -> slice:
        """Of one element in the integration state, whose elements stand in the order of their bits."""
        first = self._mujoco.mj_stateSize(self._model, self._spec & (element.value - 1))
        return slice(first, first + length)

    def initial(self, data: Any) -> np.ndarray:
        """`[n]` float64, the model's initial state."""
        row = np.zeros(self._size + 1)
        self._mujoco.mj_getState(self._model, data, row[:-1], self._spec)
        return row

    def step(self, words: Any, control: Any) -> tuple[np.ndarray, np.ndarray]:
        """Advance every environment by `frame_skip` steps."""
        return self._batch(
            words, control, lambda data: self._mujoco.mj_step(self._model, data, nstep=self._body.frame_skip)
        )

    def forward(self, words: Any, control: Any) -> tuple[np.ndarray, np.ndarray]:
        """Compute what follows from the states without a step; the progress is 0."""
        words, rows = self._batch(words, control, lambda data: self._mujoco.mj_forward(self._model, data))
        rows[..., self._model.nq + self._model.nv] = 0
        return words, rows

    def _batch(self, words: Any, control: Any, advance: Any) -> tuple[np.ndarray, np.ndarray]:
        words, control = np.asarray(words), np.asarray(control)
        before = np.array(words.reshape(-1, words.shape[-1])).view(np.float64)  # a copy, to write the controls into
        before[:, self.fields.control] = control.reshape(-1, control.shape[-1])
        after = np.empty_like(before)
        extra = np.empty((len(before), self.extra_size), np.float32)
        threads = min(_num_threads(), -(-len(before) // FEWEST_PER_THREAD))
        ends = np.linspace(0, len(before), threads + 1).astype(int)
        spans = [range(first, last) for first, last in itertools.pairwise(ends)]
        pool = _pool(os.getpid())
        others = [pool.submit(self._span, span, before, after, extra, advance) for span in spans[1:]]
        self._span(spans[0], before, after, extra, advance)
        for other in others:
            other.result()
        fields = self.fields
        if self._body.follows == "coordinate":
            after[:, fields.marker] = after[:, fields.qpos.start]
        progress = after[:, fields.marker] - before[:, fields.marker]
        rows = np.concatenate([after[:, fields.qpos], after[:, fields.qvel], progress[:, None], extra], axis=1)
        batch = words.shape[:-1]
        return after.view(np.uint32).reshape(words.shape), rows.astype(np.float32).reshape(*batch, rows.shape[-1])

    def _span(self, span: range, before: np.ndarray, after: np.ndarray, extra: np.ndarray, advance: Any) -> None:
        """Advance some rows of the batch on this thread."""
        mujoco, model, spec, size = self._mujoco, self._model, self._spec, self._size
        follows = self._body.follows
        try:
            data = self._idle.pop()
        except IndexError:
            data = mujoco.MjData(model)
        for row in span:
            mujoco.mj_setState(model, data, before[row, :size], spec)
            advance(data)
            mujoco.mj_getState(model, data, after[row, :size], spec)
            if follows == "torso":
                after[row, size] = data.xpos[TORSO, 0]
            elif follows == "mass":
                after[row, size] = self._masses @ data.xipos[:, 0]
            if self.extra_size:
                extra[row] = np.concatenate([data.cinert.ravel(), data.cvel.ravel(), data.qfrc_actuator])
        self._idle.append(data)


def float64_words(x: Array) -> Array:
    """Finite float32 `[…]` as float64, in 32-bit words `[…, 2]` uint32, low words first; subnormal numbers become 0."""
    bits = jax.lax.bitcast_convert_type(x, jnp.uint32)
    sign, exponent, mantissa = bits & jnp.uint32(0x80000000), (bits >> 23) & 0xFF, bits & 0x7FFFFF
    high = sign | ((exponent + (1023 - 127)) << 20) | (mantissa >> 3)
    high = jnp.where(exponent == 0, sign, high)
    low = jnp.where(exponent == 0, jnp.uint32(0), mantissa << 29)
    return jnp.stack([low, high], axis=-1)


def _num_threads() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.lru_cache
def _pool(process: int) -> ThreadPoolExecutor:
    """The threads of this process; a forked child gets its own, since threads do not survive a fork."""
    return ThreadPoolExecutor(max(1, _num_threads() - 1), thread_name_prefix="mujoco")
