"""Names, defaults, and rules from outside the package."""

import math
import sys

import pytest

from ltro_jax import Config
from ltro_jax.algorithms import ALGORITHMS, default_settings, get_rule, readers
from ltro_jax.algorithms.ppo import HAPPO
from ltro_jax.config import SettingsError
from ltro_jax.process import references

MODULE = """
from ltro_jax import UpdateRule
from ltro_jax.algorithms.ppo import HAPPO


class Halved(HAPPO):
    reads = HAPPO.reads
    defaults = {"factor_clip": 0.5, "actor_epochs": 2}

    class Inner(HAPPO):
        defaults = {"factor_clip": 0.25}


class Wrong(HAPPO):
    reads = frozenset({"actor_rate"})


class Empty(UpdateRule):
    pass


class Unshareable(UpdateRule):
    shareable = True

    def update(self, key, agent, batch, advantage, weight, position, hypers):
        return agent, ()


number = 3
"""


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """The name of a module on the path that nobody has imported."""
    name = "rules_from_outside"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(references, "_allowed", set())
    monkeypatch.delenv(references.VARIABLE, raising=False)
    yield name
    sys.modules.pop(name, None)


def test_unknown_algorithm_is_refused_by_name():
    with pytest.raises(SettingsError, match="algorithm = 'sarsa' is unknown; allowed are clip_happo, happo, "):
        get_rule("sarsa")
    assert default_settings("sarsa") == {}  # refused where the program is made


def test_a_change_of_the_algorithm_brings_its_defaults_and_takes_the_last_ones_back():
    config = Config.from_dict({"algorithm": "a2po"})
    assert (config.static.factor_rule, config.static.agent_order) == ("two_sided", "semi_greedy")
    config = config.replace(algorithm="happo")
    assert (config.static.factor_rule, config.static.agent_order) == ("clamp", "random")
    assert config.hypers.factor_clip == math.inf
    assert config.replace(algorithm="clip_happo").hypers.factor_clip == 1.0
    given = Config.from_dict({"algorithm": "a2po", "agent_order": "fixed"})
    assert given.static.agent_order == "fixed"
    assert given.replace(algorithm="happo").static.agent_order == "fixed"


def test_a_setting_that_only_some_algorithms_read():
    assert readers("trace_clip") == ["a2po"]
    assert readers("kl_threshold") == ["clip_hatrpo", "hatrpo"]
    assert readers("critic_input") == [name for name in ALGORITHMS if name != "ippo"]
    assert readers("gamma") == list(ALGORITHMS)


def test_a_module_needs_permission(outside, monkeypatch):
    reference = f"{outside}:Halved"
    with pytest.raises(SettingsError, match=f"add --allow-import {outside}, or set LTRO_ALLOW_IMPORTS={outside}"):
        get_rule(reference)
    assert outside not in sys.modules
    monkeypatch.setenv(references.VARIABLE, f"other, {outside}")
    rule = get_rule(reference)
    assert issubclass(rule, HAPPO) and references.reference_to(rule) == reference
    config = Config.from_dict({"algorithm": reference})
    assert (config.hypers.factor_clip, config.static.actor_epochs) == (0.5, 2)
    assert get_rule(f"{outside}:Halved.Inner").defaults == {"factor_clip": 0.25}
    monkeypatch.delenv(references.VARIABLE)
    assert get_rule(reference) is rule  # its module is imported by now


def test_a_permission_for_a_package_holds_for_its_modules(monkeypatch):
    monkeypatch.setattr(references, "_allowed", set())
    references.allow_imports("no_such_package")
    for name in ("no_such_package", "no_such_package.rules"):
        with pytest.raises(SettingsError, match="is not there; install it or add its folder to PYTHONPATH"):
            get_rule(f"{name}:Rule")
    with pytest.raises(SettingsError, match="only with your permission"):
        get_rule("no_such_package_at_all:Rule")


@pytest.mark.parametrize(
    "attribute, sentence",
    [
        ("Missing", "names nothing: the module rules_from_outside has no attribute Missing"),
        ("number", "is no update rule; derive a class from ltro_jax.UpdateRule"),
        ("", "is no reference; write module:attribute"),
        ("Wrong", "names the setting 'actor_rate', which nothing reads"),
        ("Empty", "its rule defines no update; write that method"),
        ("Unshareable", "its rule defines no gradient_step; write that method"),
    ],
)
def test_what_a_reference_may_not_be(outside, attribute, sentence):
    references.allow_imports(outside)
    with pytest.raises(SettingsError, match=sentence):
        get_rule(f"{outside}:{attribute}")
