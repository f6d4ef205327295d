"""MuJoCo's equations for a planar chain, written out: they need no MuJoCo.

A general simulator walks the chain link by link and compiles for minutes; in the plane the mass matrix has a closed
form. Unknowns are the accelerations of the root (x, y) and of every link's absolute angle φ, in which joint armature
and joint limits are tridiagonal. Per link, with e = (cos φ, sin φ), n = (−sin φ, cos φ) and ω = dφ/dt:

    centre_k = root + Σ_j L_kj e_j,    velocity_k = d root/dt + Σ_j L_kj n_j ω_j

What MuJoCo models and this repeats: the inertia-box fluid force of every link; joint limits as soft constraints with
the default `solref` and `solimp`, their forces found by the convex minimisation of MuJoCo's solvers (here by active
sets, ended when the set stays the same); the classical Runge-Kutta integrator, which solves them at each stage.
Source: MuJoCo documentation, "Computation" (constraint model) and "Fluid forces" (inertia model).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ltro_jax.envs import swimmer_model as model
from ltro_jax.types import Array

ACTIVE_SET_ITERATIONS = 10  # bound; two or three are needed when a limit is hit, none otherwise
# MuJoCo's defaults of a limit: solref = (0.02, 1), solimp = (0.9, 0.95, 0.001, 0.5, 2).
TIME_CONSTANT, DAMPING_RATIO = 0.02, 1.0
LEAST_IMPEDANCE, MOST_IMPEDANCE, IMPEDANCE_WIDTH = 0.9, 0.95, 0.001


class Geometry(NamedTuple):
    """Constants of a chain of K = 1 + n links."""

    signs: np.ndarray  # [K] of the hinges, the root's first
    lever: np.ndarray  # [K, K] L above
    gram: np.ndarray  # [K, K] m·LᵀL
    column: np.ndarray  # [K] m·Σ_k L_kj
    limit_weight: np.ndarray  # [n] diagonal of the inverse mass matrix at rest, which scales the limits' softness
    drag: "Drag"


class Drag(NamedTuple):
    """Coefficients of one link's fluid force: linear and quadratic, along, across, and in rotation."""

    linear: float
    linear_turn: float
    along: float
    across: float
    turn: float


def make_advance(num_hinges: int) -> Callable[[Array, Array, Array], tuple[Array, Array]]:
    """The function that moves one swimmer on by one environment step.

    Returns:
        `advance(qpos, qvel, control)` for `[3 + n]`, `[3 + n]` and `[n]` float32 (control within ±1), which gives the
        new `qpos` and `qvel`; `FRAME_SKIP` Runge-Kutta steps under constant control.
    """
    geometry = make_geometry(num_hinges)

    def substep(_: int, state: tuple[Array, Array], control: Array) -> tuple[Array, Array]:
        qpos, qvel = state

        def stage(carry: tuple, inputs: tuple) -> tuple[tuple, None]:
            position, velocity, moved, gained = carry
            reach, weight = inputs
            acceleration = accelerate(geometry, position, velocity, control)
            moved, gained = moved + weight * velocity, gained + weight * acceleration
            return (qpos + reach * velocity, qvel + reach * acceleration, moved, gained), None

        step = model.TIMESTEP
        reach = jnp.array([0.5 * step, 0.5 * step, step, 0.0], jnp.float32)  # to the next stage
        weight = jnp.array([step / 6, step / 3, step / 3, step / 6], jnp.float32)
        zero = jnp.zeros_like(qpos)
        (_, _, moved, gained), _ = jax.lax.scan(stage, (qpos, qvel, zero, zero), (reach, weight))
        return qpos + moved, qvel + gained

    def advance(qpos: Array, qvel: Array, control: Array) -> tuple[Array, Array]:
        with jax.default_matmul_precision("highest"):
            return jax.lax.fori_loop(
                0, model.FRAME_SKIP, lambda index, state: substep(index, state, control), (qpos, qvel)
            )

    return advance


def make_geometry(num_hinges: int) -> Geometry:
    """Constants of a chain with `num_hinges` hinges, computed in float64."""
    num_links = 1 + num_hinges
    mass, along, across = model.link_mass_and_inertia()
    lever = np.tril(np.full((num_links, num_links), -model.LINK_LENGTH), -1)
    np.fill_diagonal(lever, -0.5 * model.LINK_LENGTH)
    lever[:, 0] = model.TORSO_HINGE
    lever[0, 0] = model.TORSO_CENTRE
    gram, column = mass * lever.T @ lever, mass * lever.sum(0)
    signs = model.hinge_signs(num_hinges)
    # Mass matrix of the joints at rest (all e = (1, 0), all n = (0, 1)): only y and the angles are coupled.
    turning = np.tril(np.ones((num_links, num_links))) * signs
    rest = np.block(
        [
            [np.full((1, 1), mass * num_links), (column @ turning)[None]],
            [(column @ turning)[:, None], turning.T @ (gram + across * np.eye(num_links)) @ turning],
        ]
    )
    inverse = np.linalg.inv(rest + model.ARMATURE * np.eye(1 + num_links))
    # The box with the same mass and inertia, long side first; its sides set the fluid's grip.
    long_side = math.sqrt(6.0 * (2.0 * across - along) / mass)
    side = math.sqrt(6.0 * along / mass)
    diameter = (long_side + 2.0 * side) / 3.0
    drag = Drag(
        linear=3.0 * math.pi * diameter * model.MEDIUM_VISCOSITY,
        linear_turn=math.pi * diameter**3 * model.MEDIUM_VISCOSITY,
        along=0.5 * model.MEDIUM_DENSITY * side * side,
        across=0.5 * model.MEDIUM_DENSITY * long_side * side,
        turn=model.MEDIUM_DENSITY * side * (long_side**4 + side**4) / 64.0,
    )
    single = [np.asarray(array, np.float32) for array in (signs, lever, gram, column, np.diag(inverse)[2:])]
    return Geometry(*single, drag=drag)


def accelerate(geometry: Geometry, qpos: Array, qvel: Array, control: Array) -> Array:
    """Joint accelerations `[3 + n]` of one swimmer at positions `[3 + n]`, velocities `[3 + n]` and controls `[n]`."""
    signs, lever, gram, column, _, drag = geometry
    num_links = signs.shape[0]
    mass, _, across = model.link_mass_and_inertia()
    angle, omega = jnp.cumsum(signs * qpos[2:]), jnp.cumsum(signs * qvel[2:])
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    e, n = jnp.stack([cos, sin]), jnp.stack([-sin, cos])  # [2, K]

    velocity = qvel[:2, None] + (n * omega) @ lever.T  # [2, K], of the centres
    ahead, aside = jnp.sum(velocity * e, 0), jnp.sum(velocity * n, 0)
    force = -(drag.linear + drag.along * jnp.abs(ahead)) * ahead * e
    force -= (drag.linear + drag.across * jnp.abs(aside)) * aside * n
    torque = -(drag.linear_turn + drag.turn * jnp.abs(omega)) * omega

    sin_difference = sin[None, :] * cos[:, None] - cos[None, :] * sin[:, None]  # sin(φ_j − φ_i)
    cos_difference = cos[None, :] * cos[:, None] + sin[None, :] * sin[:, None]
    square = jnp.square(omega)
    motor = jnp.concatenate([jnp.zeros(1), model.GEAR * control])
    root_load = jnp.sum(force, 1) + (e * square) @ column
    link_load = torque + jnp.sum(n * (force @ lever), 0) + (gram * sin_difference) @ square + to_links(signs, motor)
    load = jnp.concatenate([root_load, link_load])

    coupling = n * column  # [2, K]
    root_mass = (mass * num_links + model.ARMATURE) * jnp.eye(2)
    link_mass = gram * cos_difference + across * jnp.eye(num_links)
    inertia = jnp.block([[root_mass, coupling], [coupling.T, link_mass]])
    return solve_with_limits(geometry, inertia, load, qpos[3:], qvel[3:])


def to_links(signs: np.ndarray, torque: Array) -> Array:
    """Torques `[K]` on the links from torques `[K]` of the joints, each of which turns a link against the one before."""
    signed = signs * torque
    return signed - jnp.concatenate([signed[1:], jnp.zeros(1)])


def joint_stiffening(weight: Array) -> Array:
    """`[K, K]` of the quadratic form Σ_k weight_k (φ_k − φ_{k−1})², with φ_{−1} = 0, for `[K]` weights."""
    following = jnp.concatenate([weight[1:], jnp.zeros(1)])
    return jnp.diag(weight + following) - jnp.diag(weight[1:], 1) - jnp.diag(weight[1:], -1)


def solve_with_limits(geometry: Geometry, inertia: Array, load: Array, hinge: Array, speed: Array) -> Array:
    """Joint accelerations `[3 + n]` under `load` `[2 + K]` and the soft limits of the hinges at `hinge`, `speed` `[n]`.

    The minimiser of ½ |a − a_free|²_M + ½ Σ D_i min(0, ±a_i − r_i)² over the hinges beyond their limit.
    """
    signs = geometry.signs
    side = jnp.where(hinge > 0, -1.0, 1.0)  # the way back
    depth = jnp.minimum(model.HINGE_LIMIT - jnp.abs(hinge), 0.0)
    beyond = depth < 0
    fraction = jnp.minimum(-depth / IMPEDANCE_WIDTH, 1.0)
    eased = jnp.where(fraction <= 0.5, 2.0 * jnp.square(fraction), 1.0 - 2.0 * jnp.square(1.0 - fraction))
    impedance = LEAST_IMPEDANCE + eased * (MOST_IMPEDANCE - LEAST_IMPEDANCE)
    weight = impedance / ((1.0 - impedance) * geometry.limit_weight)
    stiffness = 1.0 / (MOST_IMPEDANCE * TIME_CONSTANT * DAMPING_RATIO) ** 2
    damping = 2.0 / (MOST_IMPEDANCE * TIME_CONSTANT)
    wanted = -damping * side * speed - stiffness * impedance * depth  # [n] acceleration on the way back

    def solve(active: Array) -> Array:
        pull = jnp.where(active, weight, 0.0)
        stiffening = joint_stiffening(jnp.concatenate([jnp.zeros(1), pull]) + model.ARMATURE)
        push = to_links(signs, jnp.concatenate([jnp.zeros(1), pull * side * wanted]))
        solution = solve_positive(inertia.at[2:, 2:].add(stiffening), load.at[2:].add(push))
        turning = solution[2:] - jnp.concatenate([jnp.zeros(1), solution[2:-1]])
        return jnp.concatenate([solution[:2], signs * turning])

    def pushing(acceleration: Array) -> Array:
        return beyond & (side * acceleration[3:] < wanted)

    def unsettled(carry: tuple) -> Array:
        count, active, acceleration = carry
        return (count < ACTIVE_SET_ITERATIONS) & jnp.any(pushing(acceleration) != active)

    def again(carry: tuple) -> tuple:
        count, _, acceleration = carry
        active = pushing(acceleration)
        return count + 1, active, solve(active)

    nothing = jnp.zeros_like(beyond)
    _, _, acceleration = jax.lax.while_loop(unsettled, again, (jnp.int32(0), nothing, solve(nothing)))
    return acceleration


def solve_positive(matrix: Array, right: Array) -> Array:
    """x `[D]` with matrix·x = right, for a symmetric positive `[D, D]` matrix.

    Plain elimination: calls into LAPACK from batched programs have been seen to hang XLA's pool on two cores.
    """
    size = right.shape[0]
    rows = jnp.arange(size)

    def eliminate(pivot: int, system: Array) -> Array:
        row = system[pivot] / system[pivot, pivot]
        column = jnp.where(rows == pivot, 0.0, system[:, pivot])
        return (system - column[:, None] * row).at[pivot].set(row)

    return jax.lax.fori_loop(0, size, eliminate, jnp.concatenate([matrix, right[:, None]], 1))[:, -1]
