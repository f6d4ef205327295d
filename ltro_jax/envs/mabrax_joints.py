"""Which agent moves which joint, and the place of that joint in Brax's observation.

The partition is that of multi-agent MuJoCo, by joint name; a task divides the sequence of joints among its agents:

| task | agents |
|---|---|
| `ant_4x2` | one leg each, hip and ankle, legs 1 to 4 |
| `ant_8x1` | one joint each, in the same order |
| `halfcheetah_2x3` | back leg; front leg |
| `halfcheetah_6x1` | one joint each, from the back foot up and from the front foot up |
| `walker2d_2x3` | right leg; left leg |
| `walker2d_3x2` | right foot and leg; right thigh and left foot; left leg and thigh |
| `walker2d_6x1` | one joint each, from the right foot up and from the left foot up |
| `hopper_3x1` | thigh; leg; foot |
| `humanoid_9_8` | arms and abdomen; hips and knees |
| `humanoid_17x1` | one joint each |

All indices are read from the model: the order of its actuators differs from the order of its joints (the first two
actuators of Brax's ant drive leg 4) and from the order of this table.
"""

from typing import Any, NamedTuple

import numpy as np

MjModel = Any  # mujoco.MjModel; MuJoCo is an optional dependency
JOINTS = {
    "ant": ("hip_1", "ankle_1", "hip_2", "ankle_2", "hip_3", "ankle_3", "hip_4", "ankle_4"),
    "halfcheetah": ("bfoot", "bshin", "bthigh", "ffoot", "fshin", "fthigh"),
    "walker2d": ("foot_joint", "leg_joint", "thigh_joint", "foot_left_joint", "leg_left_joint", "thigh_left_joint"),
    "hopper": ("thigh_joint", "leg_joint", "foot_joint"),
    "humanoid": (
        *("left_shoulder1", "left_shoulder2", "abdomen_x", "abdomen_y", "abdomen_z"),
        *("right_shoulder1", "right_shoulder2", "right_elbow", "left_elbow"),
        *("left_hip_x", "left_hip_y", "left_hip_z", "right_hip_x", "right_hip_y", "right_hip_z"),
        *("right_knee", "left_knee"),
    ),
}
TASKS = {
    "ant_4x2": (2,) * 4,
    "ant_8x1": (1,) * 8,
    "halfcheetah_2x3": (3,) * 2,
    "halfcheetah_6x1": (1,) * 6,
    "walker2d_2x3": (3,) * 2,
    "walker2d_3x2": (2,) * 3,
    "walker2d_6x1": (1,) * 6,
    "hopper_3x1": (1,) * 3,
    "humanoid_9_8": (9, 8),
    "humanoid_17x1": (1,) * 17,
}
WORLD, TORSO = 0, 1  # bodies of a MuJoCo model: the world is the first, the torso the second
FREE = 0  # MuJoCo's number of the joint with all six degrees; all others here have one
JOINT_TRANSMISSION = 0  # of an actuator that drives a joint, not a tendon or a site


class Joint(NamedTuple):
    """A joint of a model and its indices; a free joint has 7 positions and 6 velocities."""

    name: str
    position: tuple[int, ...]  # indices into q
    velocity: tuple[int, ...]  # indices into qd
    torso: bool  # moves the torso against the world


def body_of(task: str) -> str:
    """Brax's name of the body: `halfcheetah_2x3` → `halfcheetah`."""
    return task.partition("_")[0]


def partition(task: str) -> tuple[tuple[str, ...], ...]:
    """The joints that each agent of `task` moves, in the order of its actions."""
    row, ends = JOINTS[body_of(task)], np.cumsum(TASKS[task])
    return tuple(row[end - size : end] for size, end in zip(TASKS[task], ends, strict=True))


def model_joints(model: MjModel) -> dict[str, Joint]:
    """Every joint of a MuJoCo model by name, in the order of q."""
    joints = {}
    for index in range(model.njnt):
        free = model.jnt_type[index] == FREE
        first_position, first_velocity = int(model.jnt_qposadr[index]), int(model.jnt_dofadr[index])
        name = model.joint(index).name
        joints[name] = Joint(
            name=name,
            position=tuple(range(first_position, first_position + (7 if free else 1))),
            velocity=tuple(range(first_velocity, first_velocity + (6 if free else 1))),
            torso=int(model.jnt_bodyid[index]) == TORSO,
        )
    return joints


def joint_actuators(model: MjModel) -> dict[str, int]:
    """Joint name → index of the actuator that drives it."""
    assert (model.actuator_trntype == JOINT_TRANSMISSION).all(), "every actuator drives a joint"
    return {model.joint(int(joint)).name: number for number, joint in enumerate(model.actuator_trnid[:, 0])}


def action_places(model: MjModel, parts: tuple[tuple[str, ...], ...]) -> np.ndarray:
    """For each actuator, in the order of the model, the place of its action in the flattened `[N, A]` actions.

    Returns:
        `[number of actuators]` int.
    Raises:
        AssertionError: the parts are not exactly the joints with an actuator.
    """
    actuators = joint_actuators(model)
    assert sorted(name for part in parts for name in part) == sorted(actuators), "each actuator has one agent"
    width = max(map(len, parts))
    places = np.zeros(len(actuators), int)
    for agent, part in enumerate(parts):
        for dimension, name in enumerate(part):
            places[actuators[name]] = agent * width + dimension
    return places


def hidden_positions(model: MjModel) -> int:
    """Leading entries of q that Brax leaves out of the observation: the position x of the body, and y if it is free."""
    return 2 if model.jnt_type[0] == FREE else 1


def observed_joints(model: MjModel, parts: tuple[tuple[str, ...], ...]) -> tuple[tuple[int, ...], ...]:
    """The places in Brax's observation that each agent observes with `observation = "joints"`.

    Brax's observation is q without the hidden positions, followed by qd. An agent observes the positions and velocities
    of the torso, then the positions and then the velocities of its joints.
    """
    joints, hidden = model_joints(model), hidden_positions(model)

    def positions(names: tuple[str, ...]) -> tuple[int, ...]:
        return tuple(place - hidden for name in names for place in joints[name].position if place >= hidden)

    def velocities(names: tuple[str, ...]) -> tuple[int, ...]:
        return tuple(model.nq - hidden + place for name in names for place in joints[name].velocity)

    torso = tuple(joint.name for joint in joints.values() if joint.torso)
    return tuple(positions(torso) + velocities(torso) + positions(part) + velocities(part) for part in parts)
