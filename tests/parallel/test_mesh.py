"""Members are divided evenly among devices, in groups of bounded size."""

from types import SimpleNamespace
from typing import Any

import jax
import pytest

from ltro_jax.parallel import member_layout
from ltro_jax.parallel.mesh import MEMBERS


@pytest.fixture
def eight_devices(monkeypatch) -> list[Any]:
    """Stand-ins: a mesh only arranges them."""
    monkeypatch.setattr(
        "ltro_jax.parallel.mesh.Mesh", lambda devices, axes: SimpleNamespace(devices=devices, axes=axes)
    )
    return [object() for _ in range(8)]


@pytest.mark.parametrize(
    "members, most, devices, rows, at_once",
    [
        (1, None, 1, 1, 1),
        (3, None, 3, 3, 1),
        (8, None, 8, 8, 1),
        (10, None, 5, 10, 2),
        (11, None, 6, 12, 2),
        (64, None, 8, 64, 8),
        (1000, None, 8, 1000, 125),
        (64, 3, 8, 72, 3),  # groups of 3, 3 and 3 for 8 members a device
        (64, 4, 8, 64, 4),
        (100, 10, 8, 112, 7),  # 13 a device: two groups of 7 rather than of 10 and 3
        (5, 100, 5, 5, 1),
    ],
)
def test_even_shares_in_even_groups(members, most, devices, rows, at_once, eight_devices):
    layout: Any = member_layout(members, eight_devices, most)
    assert list(layout.mesh.devices) == eight_devices[:devices] and layout.mesh.axes == (MEMBERS,)
    assert (layout.num_members, layout.num_rows, layout.at_once) == (members, rows, at_once)
    assert rows % (devices * at_once) == 0 and at_once <= (most or rows)


def test_all_devices_of_the_process_by_default_and_one_member_at_a_time_on_a_cpu():
    layout = member_layout(3 * len(jax.local_devices()))
    assert list(layout.mesh.devices) == jax.local_devices()
    assert (layout.num_rows, layout.at_once) == (layout.num_members, 1)
