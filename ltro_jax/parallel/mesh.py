"""The device mesh of the member axis."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

MEMBERS = "members"


def member_mesh(num_members: int, devices: Sequence[Any] | None = None) -> Mesh:
    """A mesh over as many devices as divide the members evenly.

    Args:
        num_members: S.
        devices: `jax.Device`s to choose from; None takes all.
    """
    devices = list(jax.devices() if devices is None else devices)
    count = max(d for d in range(1, len(devices) + 1) if num_members % d == 0)
    return Mesh(np.array(devices[:count]), (MEMBERS,))
