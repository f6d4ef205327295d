"""Algorithm names → update rules. A new algorithm is one file with a subclass of `UpdateRule` and one line here.

If any rule names a setting, only the algorithms that name it read it. All algorithms read the other settings.
"""

from collections.abc import Mapping
from typing import Any

from ltro_jax.algorithms.a2po import A2PO
from ltro_jax.algorithms.hatrpo import HATRPO, ClipHATRPO
from ltro_jax.algorithms.ppo import HAA2C, HAPPO, IPPO, MAPPO, ClipHAPPO
from ltro_jax.algorithms.update_rule import UpdateRule
from ltro_jax.config import SETTINGS, Config, SettingsError
from ltro_jax.config.coercion import quoted
from ltro_jax.process import references
from ltro_jax.process.references import ReferenceProblem, is_outside, is_reference, registered

ALGORITHMS: dict[str, type[UpdateRule]] = {
    "clip_happo": ClipHAPPO,
    "happo": HAPPO,
    "clip_hatrpo": ClipHATRPO,
    "hatrpo": HATRPO,
    "a2po": A2PO,
    "haa2c": HAA2C,
    "mappo": MAPPO,
    "ippo": IPPO,
}


def get_rule(algorithm: str) -> type[UpdateRule]:
    """The update rule of an algorithm: a name of `ALGORITHMS`, an entry point, or `module:attribute`.

    Raises:
        SettingsError: the name is unknown, the module may not be imported, is missing or fails, or the attribute is not
            an update rule.
    """
    if algorithm in ALGORITHMS:
        return ALGORITHMS[algorithm]
    points = registered(references.ALGORITHMS)
    if algorithm not in points and not is_reference(algorithm):
        known = ", ".join([*ALGORITHMS, *points])
        raise SettingsError(
            f"algorithm = {algorithm!r} is unknown; allowed are {known}, or module:rule for your update rule"
        )
    try:
        rule = references.load_registered(points[algorithm]) if algorithm in points else references.resolve(algorithm)
    except ReferenceProblem as problem:
        raise SettingsError(f"algorithm = {algorithm!r} {problem}") from problem.__cause__
    return _checked(algorithm, rule)


def _checked(algorithm: str, rule: Any) -> type[UpdateRule]:
    if not isinstance(rule, type) or not issubclass(rule, UpdateRule):
        raise SettingsError(f"algorithm = {algorithm!r} is no update rule; derive a class from ltro_jax.UpdateRule")
    unknown = sorted((rule.reads | rule.defaults.keys()) - SETTINGS.keys())
    if unknown:
        raise SettingsError(
            f"algorithm = {algorithm!r}: its rule names the setting {unknown[0]!r}, which nothing reads; "
            "correct its `reads` and `defaults`"
        )
    for name in ("update", "gradient_step") if rule.shareable else ("update",):
        if getattr(rule, name) is getattr(UpdateRule, name):
            raise SettingsError(f"algorithm = {algorithm!r}: its rule defines no {name}; write that method")
    return rule


def with_rule(config: Config, rule: Any) -> Config:
    """`config` with `rule` as its algorithm and the rule's defaults for settings that the user did not give.

    Args:
        rule: a subclass of `UpdateRule`; None returns `config` unchanged.
    Raises:
        SettingsError: `rule` is not an update rule, or `config` names another algorithm.
    """
    if rule is None:
        return config
    reference = references.reference_to(_checked_class(rule))
    if "algorithm" in config.given and config.static.algorithm != reference:
        raise SettingsError(f"algorithm = {config.static.algorithm!r} and rule = {rule.__name__} differ; give only one")
    return config.replace(algorithm=rule)


def stands_for(algorithm: str, rule: Any) -> None:
    """Use `rule` in this process for the reference `algorithm` of a run.

    Args:
        rule: a subclass of `UpdateRule`; None = import the reference.
    Raises:
        SettingsError: `rule` is not an update rule, or the run has an algorithm of the package.
    """
    if rule is None:
        return
    _checked_class(rule)
    if not is_reference(algorithm):
        raise SettingsError(
            f"rule = {rule.__name__} has no effect: the run has algorithm = {algorithm!r}; leave it out"
        )
    references.give(rule, algorithm)


def _checked_class(rule: Any) -> type[UpdateRule]:
    if not isinstance(rule, type) or not issubclass(rule, UpdateRule):
        raise SettingsError(f"rule = {quoted(rule)} is no update rule; give a class derived from ltro_jax.UpdateRule")
    return rule


def default_settings(algorithm: str) -> Mapping[str, Any]:
    """Settings whose defaults the algorithm changes; empty if the name is unknown."""
    known = algorithm in ALGORITHMS or is_outside(algorithm)
    return get_rule(algorithm).defaults if known else {}


def readers(setting: str) -> list[str]:
    """The algorithms of `ALGORITHMS` that read `setting`; all of them if none names it."""
    return _named_by(setting) or list(ALGORITHMS)


def is_read(setting: str, rule: type[UpdateRule]) -> bool:
    """Whether the rule reads `setting`: the rule names the setting, or no algorithm does."""
    return setting in rule.settings() or not _named_by(setting)


def _named_by(setting: str) -> list[str]:
    return [name for name, rule in ALGORITHMS.items() if setting in rule.settings()]
