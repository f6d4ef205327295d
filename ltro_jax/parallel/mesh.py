"""The layout of members on devices."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

MEMBERS = "members"


class Layout(NamedTuple):
    """S members in rows on the devices of a mesh; rows beyond S repeat the last member and are discarded."""

    mesh: Mesh
    num_members: int  # S
    num_rows: int  # ≥ S, a multiple of devices × `at_once`
    at_once: int  # rows that a device trains in parallel; groups run in sequence


def member_layout(num_members: int, devices: Sequence[Any] | None = None, at_once: int | None = None) -> Layout:
    """Divide members evenly among as few devices as needed: 10 members on 8 devices are 2 on each of 5.

    Args:
        num_members: S ≥ 1.
        devices: candidate `jax.Device`s; None = all devices of this process.
        at_once: most members that a device trains in parallel; None = 1 on a CPU, all of them elsewhere.
    """
    devices = list(jax.local_devices() if devices is None else devices)
    per_device = math.ceil(num_members / len(devices))
    count = math.ceil(num_members / per_device)
    alone = getattr(devices[0], "platform", None) == "cpu"
    num_groups = math.ceil(per_device / (at_once or (1 if alone else per_device)))
    group = math.ceil(per_device / num_groups)
    mesh = Mesh(np.array(devices[:count]), (MEMBERS,))
    return Layout(mesh, num_members, count * num_groups * group, group)
