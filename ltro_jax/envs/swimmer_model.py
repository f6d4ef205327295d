"""The constants of the many-agent swimmer, and its MJCF model.

A torso and `num_hinges` links, all capsules of one size, joined end to end. The root moves in the plane (slide x,
slide y, hinge z); the axes of the hinges are z with alternating sign, the first one downwards. There are no contacts.
"""

import math

import numpy as np

LINK_LENGTH = 1.0
LINK_RADIUS = 0.1
LINK_DENSITY = 1000.0
ARMATURE = 0.1  # of every joint, including the root
GEAR = 150.0
HINGE_LIMIT = math.radians(100.0)
MEDIUM_DENSITY = 4000.0
MEDIUM_VISCOSITY = 0.1
TIMESTEP = 0.005
FRAME_SKIP = 4
START_RANGE = 0.1  # initial positions and velocities are uniform within ± this
TORSO_CENTRE = 1.0  # from the root's origin, forwards
TORSO_HINGE = 0.5  # of the first hinge, likewise


def link_mass_and_inertia() -> tuple[float, float, float]:
    """Mass, moment of inertia about the long axis, and about an axis across it, of one solid capsule."""
    cylinder = LINK_DENSITY * math.pi * LINK_RADIUS**2 * LINK_LENGTH
    caps = LINK_DENSITY * 4.0 / 3.0 * math.pi * LINK_RADIUS**3
    along = (0.5 * cylinder + 0.4 * caps) * LINK_RADIUS**2
    across = cylinder * (3.0 * LINK_RADIUS**2 + LINK_LENGTH**2) / 12.0
    across += caps * (0.4 * LINK_RADIUS**2 + 0.25 * LINK_LENGTH**2 + 0.375 * LINK_LENGTH * LINK_RADIUS)
    return cylinder + caps, along, across


def hinge_signs(num_hinges: int) -> np.ndarray:
    """`[1 + num_hinges]` float32: the root's hinge turns about +z, the others about −z, +z, −z, …"""
    return np.concatenate([[1.0], -((-1.0) ** np.arange(num_hinges))]).astype(np.float32)


def mjcf(num_hinges: int) -> str:
    """The model in MuJoCo's XML; joints are `x`, `y`, `root`, `rot0`, `rot1`, …, and every hinge has a motor.

    There is no gravity: it would point along z, and nothing moves along z.
    """
    capsule = f'type="capsule" size="{LINK_RADIUS}" density="{LINK_DENSITY}" contype="0" conaffinity="0"'
    chain = ""
    for index in reversed(range(num_hinges)):
        place = TORSO_HINGE if index == 0 else -LINK_LENGTH
        axis = int(hinge_signs(num_hinges)[1 + index])
        chain = (
            f'<body name="link{index}" pos="{place} 0 0">'
            f'<joint name="rot{index}" type="hinge" axis="0 0 {axis}" limited="true"'
            f' range="{-HINGE_LIMIT!r} {HINGE_LIMIT!r}"/>'
            f'<geom {capsule} fromto="0 0 0 {-LINK_LENGTH} 0 0"/>{chain}</body>'
        )
    front, back = TORSO_CENTRE + 0.5 * LINK_LENGTH, TORSO_CENTRE - 0.5 * LINK_LENGTH
    motors = "".join(
        f'<motor joint="rot{index}" gear="{GEAR}" ctrllimited="true" ctrlrange="-1 1"/>' for index in range(num_hinges)
    )
    return f"""<mujoco model="swimmer">
  <compiler angle="radian"/>
  <option integrator="RK4" timestep="{TIMESTEP}" gravity="0 0 0"
    density="{MEDIUM_DENSITY}" viscosity="{MEDIUM_VISCOSITY}"/>
  <default><joint armature="{ARMATURE}"/></default>
  <worldbody>
    <body name="torso">
      <joint name="x" type="slide" axis="1 0 0"/>
      <joint name="y" type="slide" axis="0 1 0"/>
      <joint name="root" type="hinge" axis="0 0 1"/>
      <geom {capsule} fromto="{front} 0 0 {back} 0 0"/>
      {chain}
    </body>
  </worldbody>
  <actuator>{motors}</actuator>
</mujoco>"""
