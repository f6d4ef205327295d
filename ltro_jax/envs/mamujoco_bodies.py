"""The bodies of multi-agent MuJoCo, and which agent moves which joint.

The models are those of the installed `gymnasium`. The constants are those of its version 4 environments, which equal
version 2 as the papers used it; version 5 changed models and rewards.

`BODIES` holds the constants, `TASKS` the published partitions. A name without a partition, such as `mamujoco/ant`, has
one agent for all joints, or the agents that `partition` lists: joints separated by commas, agents by `|`.
"""

import importlib
import importlib.util
from pathlib import Path
from typing import Any, NamedTuple

from ltro_jax.config import SettingsError
from ltro_jax.envs.mabrax_joints import JOINTS, TORSO, joint_actuators, model_joints

Partition = tuple[tuple[str, ...], ...]  # for each agent, the joints that it moves, in the order of its actions


class Body(NamedTuple):
    """A body: its model, its reward, its terminations, its noise at reset, and what its observation holds."""

    model: str  # name of the XML file in gymnasium's assets
    frame_skip: int  # steps of the physics per step of the environment
    control_cost: float  # per squared control
    reset_noise: float  # bound of the uniform noise of the positions; also of the velocities, or their deviation
    normal_velocities: bool = False  # noise of the velocities: normal, else uniform
    forward_weight: float = 1.0  # per metre and second
    alive_bonus: float = 0.0  # per step
    height: tuple[float, float] | None = None  # healthy heights of the torso, metres
    height_index: int = 1  # index of the height in qpos
    largest_angle: float | None = None  # healthy pitch, qpos[2], radians
    largest_state: float | None = None  # healthy entries of qpos[2:] and qvel
    hidden_positions: int = 1  # leading entries of qpos that the observation leaves out
    largest_velocity: float | None = None  # the observation clips velocities to it
    contact_forces: bool = False  # the observation has six zeros per body of the model in their place
    follows: str = "coordinate"  # what the reward measures the x of: qpos[0], the "torso", or the centre of "mass"
    inertias: bool = False  # the observation has the inertias and velocities of the bodies and the actuators' forces


_ant = Body(
    "ant.xml",
    frame_skip=5,
    control_cost=0.5,
    reset_noise=0.1,
    normal_velocities=True,
    alive_bonus=1.0,
    height=(0.2, 1.0),
    height_index=2,
    largest_state=float("inf"),
    hidden_positions=2,
    contact_forces=True,
    follows="torso",
)
_walker = Body(
    "walker2d.xml",
    frame_skip=4,
    control_cost=1e-3,
    reset_noise=5e-3,
    alive_bonus=1.0,
    height=(0.8, 2.0),
    largest_angle=1.0,
    largest_velocity=10.0,
)
BODIES = {
    "ant": _ant,
    "halfcheetah": Body("half_cheetah.xml", frame_skip=5, control_cost=0.1, reset_noise=0.1, normal_velocities=True),
    "walker2d": _walker,
    "hopper": _walker._replace(model="hopper.xml", height=(0.7, float("inf")), largest_angle=0.2, largest_state=100.0),
    "humanoid": Body(
        "humanoid.xml",
        frame_skip=5,
        control_cost=0.1,
        reset_noise=0.01,
        forward_weight=1.25,
        alive_bonus=5.0,
        height=(1.0, 2.0),
        height_index=2,
        hidden_positions=2,
        contact_forces=True,
        follows="mass",
        inertias=True,
    ),
    "swimmer": Body("swimmer.xml", frame_skip=4, control_cost=1e-4, reset_noise=0.1, hidden_positions=2),
}
ROWS = JOINTS | {"swimmer": ("motor1_rot", "motor2_rot")}  # joints in the order in which the papers deal them out
SPLITS: dict[str, tuple[tuple[int, ...], ...]] = {  # sizes of the agents' parts, which cut the body's row
    "ant": ((8,), (4,) * 2, (2,) * 4, (1,) * 8),
    "halfcheetah": ((6,), (3,) * 2, (1,) * 6),
    "walker2d": ((6,), (3,) * 2, (2,) * 3, (1,) * 6),
    "hopper": ((3,), (1,) * 3),
    "humanoid": ((17,), (9, 8), (1,) * 17),
    "swimmer": ((2,), (1,) * 2),
}


def _cut(body: str, sizes: tuple[int, ...]) -> Partition:
    row = iter(ROWS[body])
    return tuple(tuple(next(row) for _ in range(size)) for size in sizes)


def _name(body: str, sizes: tuple[int, ...]) -> str:
    """`ant`, `ant_4x2`, `humanoid_9_8`."""
    if len(sizes) == 1:
        return body
    equal = len(set(sizes)) == 1
    return f"{body}_{len(sizes)}x{sizes[0]}" if equal else f"{body}_{'_'.join(map(str, sizes))}"


TASKS: dict[str, Partition] = {
    _name(body, sizes): _cut(body, sizes) for body, splits in SPLITS.items() for sizes in splits
}


def body_of(task: str) -> str:
    """`halfcheetah_2x3` → `halfcheetah`."""
    return task.partition("_")[0]


def partition_of(task: str, listed: str | None) -> Partition:
    """The partition of `task`, or the one that `listed` spells, such as `hip_1,ankle_1|hip_2,ankle_2`.

    Raises:
        SettingsError: the task's name has a partition already, or the list names a joint that the body does not have,
            names one twice, or misses one.
    """
    if listed is None:
        return TASKS[task]
    body = body_of(task)
    if task != body:
        raise SettingsError(f"partition = {listed!r}: mamujoco/{task} has a partition already; use mamujoco/{body}")
    parts = tuple(tuple(joint.strip() for joint in part.split(",")) for part in listed.split("|"))
    named, joints = [joint for part in parts for joint in part], ROWS[body]
    for joint in named:
        if joint not in joints:
            raise SettingsError(f"partition: {body} has no joint {joint!r}; its joints are {', '.join(joints)}")
        if named.count(joint) > 1:
            raise SettingsError(f"partition names the joint {joint!r} twice; name it once")
    missing = [joint for joint in joints if joint not in named]
    if missing:
        raise SettingsError(f"partition leaves out {', '.join(missing)}; give every joint of {body} to an agent")
    return parts


def load_model(body: str) -> Any:
    """The `MjModel` of `body`, from the assets of the installed gymnasium.

    Raises:
        ImportError: mujoco or gymnasium is not installed.
        SettingsError: the installed gymnasium has no such model.
    """
    mujoco: Any = importlib.import_module("mujoco")
    package = importlib.util.find_spec("gymnasium")
    if package is None or package.origin is None:
        raise ImportError("gymnasium is not installed")
    path = Path(package.origin).parent / "envs" / "mujoco" / "assets" / BODIES[body].model
    if not path.is_file():
        raise SettingsError(f"the installed gymnasium has no {path.name}; install gymnasium >= 1.0")
    # MuJoCo prints its warnings past Python and writes them into a file in the working directory.
    if mujoco.get_mju_user_warning() is None:
        mujoco.set_mju_user_warning(lambda message: None)
    return mujoco.MjModel.from_xml_path(str(path))


def neighbours(model: Any) -> dict[str, frozenset[str]]:
    """For each joint that an actuator drives, the driven joints next to it in the tree of bodies.

    Two joints are neighbours when they belong to the same body, when no driven joint lies between them on the way up
    the tree, or when no driven joint lies between either of them and the torso.
    """
    driven = joint_actuators(model)
    groups: dict[int, list[str]] = {}  # body → its driven joints
    for joint in driven:
        groups.setdefault(int(model.jnt_bodyid[model.joint(joint).id]), []).append(joint)

    def ancestor(body: int) -> int:
        """The nearest body above with a driven joint, or the torso."""
        body = int(model.body_parentid[body])
        while body not in groups and body > TORSO:
            body = int(model.body_parentid[body])
        return body

    near: dict[str, set[str]] = {joint: set() for joint in driven}
    for body, joints in groups.items():
        above = ancestor(body)
        beside = [other for other in groups if above == TORSO and ancestor(other) == TORSO]
        for joint in joints:
            for other in {*joints, *groups.get(above, ()), *(name for group in beside for name in groups[group])}:
                if other != joint:
                    near[joint].add(other)
                    near[other].add(joint)
    return {joint: frozenset(others) for joint, others in near.items()}


def observed_places(model: Any, body: Body, parts: Partition, agent_obsk: int) -> tuple[tuple[int, ...], ...]:
    """For each agent, the places of what it observes in the row of all positions and all velocities.

    An agent observes the positions (without the hidden ones) and velocities of the torso, then the positions and
    velocities of the joints that it moves, then, with `agent_obsk = 1`, the positions of their neighbours.
    """
    joints, near = model_joints(model), neighbours(model)

    def positions(names: tuple[str, ...]) -> tuple[int, ...]:
        return tuple(place for name in names for place in joints[name].position if place >= body.hidden_positions)

    def velocities(names: tuple[str, ...]) -> tuple[int, ...]:
        return tuple(model.nq + place for name in names for place in joints[name].velocity)

    torso = tuple(joint.name for joint in joints.values() if joint.torso)
    rows = []
    for part in parts:
        beside = [name for name in joints if name not in part and any(name in near[own] for own in part)]
        own = positions(torso) + velocities(torso) + positions(part) + velocities(part)
        rows.append(own + (positions(tuple(beside)) if agent_obsk == 1 else ()))
    return tuple(rows)
