"""Update rules from outside the package: stored by reference, imported only with permission, checked before a run."""

import sys
from importlib.metadata import EntryPoint
from typing import Any, ClassVar

import jax
import numpy as np
import pytest
from outside import forget, stranger

import ltro_jax
from ltro_jax import SettingsError, load_policy, load_preset, load_run, resume, train
from ltro_jax.algorithms import default_settings, get_rule
from ltro_jax.algorithms.ppo import HAPPO
from ltro_jax.presets import usual_settings
from ltro_jax.process import references
from ltro_jax.runs.checks import checked_program
from ltro_jax.runs.sweep import plan

NEEDED = "which is imported only with your permission: add --allow-import"


class Mine(HAPPO):
    """Stands for a rule of a notebook."""

    defaults: ClassVar = {"actor_epochs": 1}


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The name of the stranger's module, which this process may import."""
    with stranger(tmp_path) as name:
        references.allow_imports(name, folder=str(tmp_path))
        yield name


@pytest.fixture(scope="module")
def notebook(tiny, tmp_path_factory):
    """A run of a rule that was defined in `__main__`, from where it has gone; not to be changed."""
    path = tmp_path_factory.mktemp("outside") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Mine, "__module__", "__main__")
        patch.setattr(sys.modules["__main__"], "Mine", Mine, raising=False)
        patch.setattr(references, "_given", {})
        given = tiny(total_env_steps=4 * 32, keep_checkpoints=9, checkpoint_interval=2)
        # the settings of `tiny` are those of a preset: the rule's defaults go before them
        run = train(given, path, rule=Mine, progress=False)
        assert not references._given  # the newest definition in `__main__` counts
    return run


@pytest.fixture
def elsewhere(monkeypatch):
    monkeypatch.setattr(references, "_given", {})


def test_the_reference_and_the_defaults_are_stored(notebook):
    assert notebook.finished and notebook.directory.settings["algorithm"] == "__main__:Mine"
    assert notebook.config.static.actor_epochs == 1


def test_a_process_without_the_notebook_says_what_to_do(notebook, elsewhere):
    opened = load_run(notebook.path)
    assert opened.metrics["entropy"].sizes["iteration"] == 4  # needs no rule
    for use in (opened.evaluate, lambda: load_policy(notebook.path), lambda: resume(notebook.path, progress=False)):
        with pytest.raises(SettingsError) as error:
            use()
        assert str(error.value) == (
            "algorithm = '__main__:Mine' was defined in a notebook, a script or a function, where this process cannot "
            "find it; move it to a module, or pass the class as rule= in Python"
        )


def test_rule_stands_for_the_reference(notebook, elsewhere):
    policy = load_policy(notebook.path, rule=Mine)
    assert type(policy.parts.rule) is Mine
    assert resume(notebook.path, rule=Mine, progress=False).finished
    state = load_run(notebook.path).restore_actors(member=0).state  # given once, it holds for the process
    kernels = (jax.tree.leaves(tree) for tree in (policy.params, state.agents.params))
    assert all(map(np.array_equal, *kernels))


def test_rules_that_are_none_and_rules_without_effect(notebook, tiny, tmp_path, elsewhere):
    wrongs: tuple[Any, ...] = (3, int, Mine.__mro__[-1])
    for wrong in wrongs:
        with pytest.raises(SettingsError, match=r"is no update rule; give a class derived from ltro_jax.UpdateRule"):
            train(tiny(), tmp_path / "run", rule=wrong)
    with pytest.raises(SettingsError, match="algorithm = 'happo' and rule = Mine differ; give only one"):
        train(tiny(algorithm="happo"), tmp_path / "run", rule=Mine)
    with pytest.raises(SettingsError, match="rule = 3 is no update rule"):
        load_run(notebook.path, rule=3)  # pyright: ignore[reportArgumentType]
    assert not (tmp_path / "run").exists()


def test_a_class_is_a_value_of_the_setting(tiny, elsewhere):
    config = tiny(algorithm=Mine, actor_epochs=3)
    assert config.static.algorithm == f"{__name__}:Mine" and config.static.actor_epochs == 3
    assert isinstance(ltro_jax.make_train(config).parts.rule, Mine)
    parts = plan(ltro_jax.Config(), {"algorithm": [Mine, "happo"]})
    assert list(parts) == [f"algorithm={__name__}_Mine", "algorithm=happo"]
    assert [part.static.actor_epochs for part in parts.values()] == [1, 5]

    class Local(Mine):
        pass

    assert get_rule(tiny(algorithm=Local).static.algorithm) is Local


def test_a_preset_lends_its_settings(module):
    reference = f"{module}:Halved"
    preset, own = load_preset("mpe/simple_spread"), load_preset("mpe/simple_spread", reference, gamma=0.9)
    changed = {name: value for name, value in own.to_dict().items() if value != preset.to_dict()[name]}
    assert changed == {"algorithm": reference, "factor_clip": 0.5, "actor_epochs": 1, "gamma": 0.9}
    assert own.given == {"gamma"}
    forget()
    references._allowed.clear()
    assert usual_settings("mpe/simple_spread", reference) == (preset, "preset")  # for a report, without permission


@pytest.mark.parametrize(
    "rule, sentence",
    [
        ("Shorter", r"returns nothing for opt_state.*; it must return \w+\["),
        ("Rounded", r"returns bfloat16\[.*\] for params\['params'\].*; it must return float32\["),
        ("Silent", "must return an AgentState and a NamedTuple of metrics"),
    ],
)
def test_an_update_of_another_form(module, tiny, tmp_path, rule, sentence):
    with pytest.raises(SettingsError, match=f"the update of {module}:{rule} {sentence}"):
        train(tiny(algorithm=f"{module}:{rule}"), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_a_rule_of_the_right_form_passes(module, tiny):
    assert checked_program(tiny(algorithm=f"{module}:Halved")).parts.static.actor_epochs == 1


def test_not_a_number_freezes_the_member_and_names_the_rule(module, tiny, tmp_path, capsys):
    config = tiny(algorithm=f"{module}:Poisoned", total_env_steps=2 * 32, eval_episodes=0)
    run = train(config, tmp_path / "run")
    assert not run.metrics["finite"].values.any()
    said = capsys.readouterr().out
    assert (
        f"{module}:Poisoned: became non-finite and were frozen: seed 0 (iteration 1); try a smaller actor_lr or "
        in said
    )
    assert "look for NaN in its weight and update" in said


# ---- references


@pytest.mark.parametrize(
    "source, sentence",
    [
        ("x = 1\ny = x / 0\n", r"ZeroDivisionError: division by zero \(File \".*stranger.py\", line 2: y = x / 0\)"),
        ("import no_such_package\n", r"No module named 'no_such_package' \(File \".*stranger.py\", line 1"),
        ("x = (\n", r"SyntaxError: '\(' was never closed \(File \".*stranger.py\", line 1\)"),
        ("raise SystemExit(3)\n", r"SystemExit: 3 \(File \".*stranger.py\", line 1"),
    ],
)
def test_a_module_that_fails_at_its_import(tmp_path, source, sentence):
    with stranger(tmp_path, source) as name:
        references.allow_imports(name, folder=str(tmp_path))
        with pytest.raises(SettingsError, match=f"needs the module {name}, whose import fails: .*{sentence}") as error:
            get_rule(f"{name}:Rule")
        assert error.value.__cause__ is not None  # the user's own traceback


def test_references_of_strangers(module):
    references._allowed.clear()
    with pytest.raises(SettingsError, match=f"needs the module {module}, {NEEDED} {module}"):
        get_rule(f"{module}:Halved")
    references.allow_imports("json")
    for reference in ("x; rm -rf y:Rule", ":Rule", "a..b:Rule", "json:"):
        with pytest.raises(SettingsError, match="is no reference; write module:attribute"):
            get_rule(reference)
    with pytest.raises(SettingsError, match=NEEDED):
        get_rule("json.__main__:Rule")  # a program, whose import runs it


# ---- entry points


class Package:
    """What `importlib.metadata` knows of an installed package."""

    name = "ltro-extras"


def point(name: str, value: str) -> EntryPoint:
    found = EntryPoint(name, value, references.ALGORITHMS)
    vars(found).update(dist=Package())
    return found


def test_rules_of_installed_packages(module, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(tmp_path)
    points = {name: point(name, f"{module}:{rule}") for name, rule in (("halved", "Halved"), ("broken", "Missing"))}
    monkeypatch.setattr(references, "registered", lambda group: points)
    monkeypatch.setattr("ltro_jax.algorithms.registry.registered", lambda group: points)
    references._allowed.clear()  # the installed package is the permission
    assert get_rule("halved").__name__ == "Halved"
    assert default_settings("halved") == {"factor_clip": 0.5, "actor_epochs": 1}
    assert load_preset("mpe/simple_spread", "halved").hypers.factor_clip == 0.5
    with pytest.raises(
        SettingsError, match="algorithm = 'broken' comes from the package ltro-extras, whose entry point"
    ):
        get_rule("broken")
    with pytest.raises(SettingsError, match=r"allowed are clip_happo, .*, halved, broken, or module:rule"):
        get_rule("sarsa")
