"""Names and recipes."""

import pytest

from ltro_jax.algorithms import ALGORITHMS, get_recipe
from ltro_jax.config import Config, SettingsError


def test_unknown_algorithm_is_refused_by_name():
    with pytest.raises(SettingsError, match="algorithm = 'sarsa' is unknown"):
        get_recipe("sarsa")


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_the_factor_is_clamped_only_by_the_clip_variants(name):
    assert get_recipe(name) is ALGORITHMS[name]
    clip = Config.from_dict({"algorithm": name}).hypers.factor_clip
    assert clip == (1.0 if name.startswith("clip_") else float("inf"))


def test_what_sets_the_algorithms_apart():
    assert [name for name in ("clip_happo", "happo", "mappo", "ippo") if ALGORITHMS[name].sequential] == [
        "clip_happo",
        "happo",
    ]
    assert ALGORITHMS["ippo"].local_critics
    assert not ALGORITHMS["mappo"].local_critics
