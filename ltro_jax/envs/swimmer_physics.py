"""MuJoCo's equations for a planar chain, without MuJoCo.

The model is that of MuJoCo: rigid links with joint armature; the inertia-box fluid force on every link; joint
limits as soft constraints with the default `solref` and `solimp`, whose forces minimise the convex cost of MuJoCo's
solvers (here by active sets, until the set no longer changes); the classical Runge-Kutta integrator, which solves for
the forces in each stage.

The unknowns are the accelerations of the root and of every link's absolute angle φ: in these, armature and limits
couple only neighbours, and one pass along the chain and back solves a chain of K links in O(K) without a matrix. Per
link, e = (cos φ, sin φ) points forwards, n = (−sin φ, cos φ), and ω = dφ/dt.
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

ACTIVE_SET_ITERATIONS = 10  # upper bound; two or three are needed at a limit, none otherwise
# MuJoCo's defaults of a limit: solref = (0.02, 1), solimp = (0.9, 0.95, 0.001, 0.5, 2).
TIME_CONSTANT, DAMPING_RATIO = 0.02, 1.0
LEAST_IMPEDANCE, MOST_IMPEDANCE, IMPEDANCE_WIDTH = 0.9, 0.95, 0.001


class Geometry(NamedTuple):
    """Constants of a chain of K = 1 + n links; distances are along the link, forwards, from its front joint."""

    signs: np.ndarray  # [K] of the hinges, the root first
    centre: np.ndarray  # [K] distance of the link's centre
    joint: np.ndarray  # [K] distance of the next hinge
    limit_weight: np.ndarray  # [n] diagonal of the inverse mass matrix at rest, which scales the softness of the limits
    drag: "Drag"


class Drag(NamedTuple):
    """Coefficients of one link's fluid force: linear and quadratic, along, across, and in rotation."""

    linear: float
    linear_turn: float
    along: float
    across: float
    turn: float


class Links(NamedTuple):
    """The quantities of every link in the equations of motion, `[K]` float32 each."""

    centre: Array  # as in `Geometry`
    joint: Array
    n_x: Array
    n_y: Array
    force_x: Array  # of the fluid
    force_y: Array
    torque: Array
    square: Array  # ω²


def make_advance(num_hinges: int) -> Callable[[Array, Array, Array], tuple[Array, Array]]:
    """The function that advances a swimmer by one environment step.

    Returns:
        `advance(qpos, qvel, control)` for `[3 + n]`, `[3 + n]` and `[n]` float32 (control within ±1), which returns the
        new `qpos` and `qvel`; `FRAME_SKIP` Runge-Kutta steps under constant control.
    """
    geometry = make_geometry(num_hinges)

    def substep(state: tuple[Array, Array], control: Array) -> tuple[Array, Array]:
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
        (*_, moved, gained), _ = jax.lax.scan(stage, (qpos, qvel, zero, zero), (reach, weight))
        return qpos + moved, qvel + gained

    def advance(qpos: Array, qvel: Array, control: Array) -> tuple[Array, Array]:
        return jax.lax.fori_loop(0, model.FRAME_SKIP, lambda _, state: substep(state, control), (qpos, qvel))

    return advance


def make_geometry(num_hinges: int) -> Geometry:
    """Constants of a chain with `num_hinges` hinges, computed in float64."""
    num_links = 1 + num_hinges
    mass, along, across = model.link_mass_and_inertia()
    centre, joint = np.full(num_links, -0.5 * model.LINK_LENGTH), np.full(num_links, -model.LINK_LENGTH)
    centre[0], joint[0] = model.TORSO_CENTRE, model.TORSO_HINGE
    signs = model.hinge_signs(num_hinges)
    # Mass matrix of the joints at rest (all e = (1, 0), all n = (0, 1)): only y and the angles are coupled. Row k of
    # `reach`: derivative of y of centre k by y of the root and by the angle of every link.
    reach = np.tril(np.tile(joint, (num_links, 1)), -1) + np.diag(centre)
    turning = np.tril(np.ones((num_links, num_links))) * signs
    reach = np.concatenate([np.ones((num_links, 1)), reach @ turning], axis=1)
    rest = mass * reach.T @ reach + model.ARMATURE * np.eye(1 + num_links)
    rest[1:, 1:] += across * turning.T @ turning
    inverse = np.linalg.inv(rest)
    # The box with the same mass and inertia, long side first; its sides determine the drag.
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
    single = [np.asarray(array, np.float32) for array in (signs, centre, joint, np.diag(inverse)[2:])]
    return Geometry(*single, drag=drag)


def accelerate(geometry: Geometry, qpos: Array, qvel: Array, control: Array) -> Array:
    """Joint accelerations `[3 + n]` of one swimmer at positions `[3 + n]`, velocities `[3 + n]` and controls `[n]`."""
    signs, centre, joint, _, drag = geometry
    angle, omega = jnp.cumsum(signs * qpos[2:]), jnp.cumsum(signs * qvel[2:])
    e, n = (jnp.cos(angle), jnp.sin(angle)), (-jnp.sin(angle), jnp.cos(angle))

    velocity = []
    for axis in (0, 1):
        along_chain = joint * n[axis] * omega  # contribution of each link to the velocity of the next joint
        velocity.append(qvel[axis] + jnp.cumsum(along_chain) - along_chain + centre * n[axis] * omega)
    ahead = velocity[0] * e[0] + velocity[1] * e[1]
    aside = velocity[0] * n[0] + velocity[1] * n[1]
    ahead_force = -(drag.linear + drag.along * jnp.abs(ahead)) * ahead
    aside_force = -(drag.linear + drag.across * jnp.abs(aside)) * aside
    force = (ahead_force * e[0] + aside_force * n[0], ahead_force * e[1] + aside_force * n[1])
    torque = -(drag.linear_turn + drag.turn * jnp.abs(omega)) * omega

    links = Links(jnp.asarray(centre), jnp.asarray(joint), *n, *force, torque, jnp.square(omega))
    motor = jnp.concatenate([jnp.zeros(1), model.GEAR * control])
    return solve_with_limits(geometry, links, motor, qpos[3:], qvel[3:])


def solve_with_limits(geometry: Geometry, links: Links, motor: Array, hinge: Array, speed: Array) -> Array:
    """Joint accelerations `[3 + n]` under torques `[K]` and the soft limits of hinges at `hinge`, `speed` `[n]`.

    The minimiser of ½ |a − a_free|²_M + ½ Σ D_i min(0, ±a_i − r_i)² over the hinges beyond their limit.
    """
    signs = jnp.asarray(geometry.signs)
    side = jnp.where(hinge > 0, -1.0, 1.0)  # direction back
    depth = jnp.minimum(model.HINGE_LIMIT - jnp.abs(hinge), 0.0)
    beyond = depth < 0
    fraction = jnp.minimum(-depth / IMPEDANCE_WIDTH, 1.0)
    eased = jnp.where(fraction <= 0.5, 2.0 * jnp.square(fraction), 1.0 - 2.0 * jnp.square(1.0 - fraction))
    impedance = LEAST_IMPEDANCE + eased * (MOST_IMPEDANCE - LEAST_IMPEDANCE)
    weight = impedance / ((1.0 - impedance) * geometry.limit_weight)
    stiffness = 1.0 / (MOST_IMPEDANCE * TIME_CONSTANT * DAMPING_RATIO) ** 2
    damping = 2.0 / (MOST_IMPEDANCE * TIME_CONSTANT)
    wanted = -damping * side * speed - stiffness * impedance * depth  # [n] acceleration in the direction back

    def solve(active: Array) -> Array:
        pull = jnp.concatenate([jnp.zeros(1), jnp.where(active, weight, 0.0)])
        push = pull * jnp.concatenate([jnp.zeros(1), side * wanted])
        return solve_chain(links, model.ARMATURE + pull, signs * (motor + push), signs)

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


def solve_chain(links: Links, stiffness: Array, twist: Array, signs: Array) -> Array:
    """Joint accelerations `[3 + n]` of least constraint (Gauss), given weights and torques `[K]` on the joints.

    The minimiser, over the root's acceleration and the angular accelerations α, of

        Σ_k ½ m |c_k|² − f_k·c_k + ½ I α_k² − t_k α_k + ½ stiffness_k (α_k − α_{k−1})² − twist_k (α_k − α_{k−1})

    with c_k the acceleration of centre k. Dynamic programming in O(K): from the tail forwards, `cost` is the minimum
    over the links behind, as a quadratic form in the acceleration p of the joint and the α before it. The forms are
    written in components so that each step is one fused loop over a batch.
    """
    mass, _, across = model.link_mass_and_inertia()

    def fold(cost: tuple, inputs: tuple) -> tuple[tuple, tuple]:
        """Add a link to the cost behind it and minimise over its α = (α_0 − gain·p + lean·α_before)."""
        xx, xy, yy, x_turn, y_turn, turn_turn, x, y, turn = cost
        link, weight, moment = inputs
        n_x, n_y, hop, arm = link.n_x, link.n_y, link.joint, link.centre
        e_x, e_y = n_y, -n_x
        # The joint behind accelerates by p + hop·(n α − e ω²): put that into the cost behind.
        shift_x, shift_y = -hop * e_x * link.square, -hop * e_y * link.square
        bent_x, bent_y = xx * n_x + xy * n_y, xy * n_x + yy * n_y
        pull_x, pull_y = x - xx * shift_x - xy * shift_y, y - xy * shift_x - yy * shift_y
        turn = turn + hop * (n_x * pull_x + n_y * pull_y) - x_turn * shift_x - y_turn * shift_y
        turn_turn = turn_turn + hop * (hop * (n_x * bent_x + n_y * bent_y) + 2.0 * (n_x * x_turn + n_y * y_turn))
        x_turn, y_turn = x_turn + hop * bent_x, y_turn + hop * bent_y
        # The link itself; its centre accelerates by p + arm·(n α − e ω²).
        xx, yy = xx + mass, yy + mass
        x_turn, y_turn = x_turn + mass * arm * n_x, y_turn + mass * arm * n_y
        turn_turn = turn_turn + mass * arm * arm + across + weight
        pull_x = pull_x + link.force_x + mass * arm * e_x * link.square
        pull_y = pull_y + link.force_y + mass * arm * e_y * link.square
        turn = turn + arm * (n_x * link.force_x + n_y * link.force_y) + link.torque + moment
        gain_x, gain_y, lean, start = x_turn / turn_turn, y_turn / turn_turn, weight / turn_turn, turn / turn_turn
        cost = (
            *(xx - x_turn * gain_x, xy - x_turn * gain_y, yy - y_turn * gain_y),
            *(weight * gain_x, weight * gain_y, weight * (1.0 - lean)),
            *(pull_x - gain_x * turn, pull_y - gain_y * turn, lean * turn - moment),
        )
        return cost, (gain_x, gain_y, lean, start)

    def unfold(carry: tuple, inputs: tuple) -> tuple[tuple, Array]:
        """The link's α, and the acceleration of the joint behind it."""
        p_x, p_y, before = carry
        link, (gain_x, gain_y, lean, start) = inputs
        alpha = start - gain_x * p_x - gain_y * p_y + lean * before
        p_x = p_x + link.joint * (link.n_x * alpha - link.n_y * link.square)
        p_y = p_y + link.joint * (link.n_y * alpha + link.n_x * link.square)
        return (p_x, p_y, alpha), alpha

    zero = jnp.zeros((), jnp.float32)
    cost, gains = jax.lax.scan(fold, (zero,) * 9, (links, stiffness, twist), reverse=True)
    xx, xy, yy, _, _, _, x, y, _ = cost
    xx, yy = xx + model.ARMATURE, yy + model.ARMATURE
    determinant = xx * yy - xy * xy
    root_x, root_y = (yy * x - xy * y) / determinant, (xx * y - xy * x) / determinant
    _, alpha = jax.lax.scan(unfold, (root_x, root_y, zero), (links, gains))
    turning = alpha - jnp.concatenate([jnp.zeros(1), alpha[:-1]])
    return jnp.concatenate([jnp.stack([root_x, root_y]), signs * turning])
