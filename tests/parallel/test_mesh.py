"""The member axis is divided among as many devices as divide it evenly."""

from types import SimpleNamespace
from typing import Any

import jax
import pytest

from ltro_jax.parallel import member_mesh
from ltro_jax.parallel.mesh import MEMBERS


@pytest.fixture
def eight_devices(monkeypatch) -> list[Any]:
    """Stand-ins: a mesh only arranges them."""
    monkeypatch.setattr(
        "ltro_jax.parallel.mesh.Mesh", lambda devices, axes: SimpleNamespace(devices=devices, axes=axes)
    )
    return [object() for _ in range(8)]


@pytest.mark.parametrize(
    "num_members, num_devices", [(1, 1), (2, 2), (3, 3), (5, 5), (7, 7), (8, 8), (10, 5), (11, 1), (12, 6), (64, 8)]
)
def test_largest_divisor(num_members, num_devices, eight_devices):
    mesh: Any = member_mesh(num_members, eight_devices)
    assert list(mesh.devices) == eight_devices[:num_devices] and mesh.axes == (MEMBERS,)


def test_all_devices_by_default():
    mesh = member_mesh(len(jax.devices()))
    assert list(mesh.devices) == jax.devices()
