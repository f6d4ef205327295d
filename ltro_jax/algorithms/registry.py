"""Algorithm names → update rules. A new algorithm is one file with a subclass of `UpdateRule`, and one line here.

A setting that some rule names is read by the algorithms that name it; all others are read by every algorithm.
"""

from collections.abc import Mapping
from typing import Any

from ltro_jax.algorithms.a2po import A2PO
from ltro_jax.algorithms.hatrpo import HATRPO, ClipHATRPO
from ltro_jax.algorithms.ppo import HAA2C, HAPPO, IPPO, MAPPO, ClipHAPPO
from ltro_jax.algorithms.update_rule import UpdateRule
from ltro_jax.config import SETTINGS, SettingsError
from ltro_jax.process.references import ReferenceProblem, is_reference, registered, resolve

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


ENTRY_POINTS = "ltro_jax.algorithms"  # the group in which an installed package names its rules


def get_rule(algorithm: str) -> type[UpdateRule]:
    """The update rule of an algorithm: a name of `ALGORITHMS`, an entry point, or `module:attribute`.

    Raises:
        SettingsError: unknown name, a module that may not be imported or is not there, or no update rule.
    """
    if algorithm in ALGORITHMS:
        return ALGORITHMS[algorithm]
    points = registered(ENTRY_POINTS)
    if algorithm not in points and not is_reference(algorithm):
        known = ", ".join([*ALGORITHMS, *points])
        raise SettingsError(f"algorithm = {algorithm!r} is unknown; allowed are {known}, and module:rule for your own")
    try:
        rule = points[algorithm].load() if algorithm in points else resolve(algorithm)
    except ReferenceProblem as problem:
        raise SettingsError(f"algorithm = {algorithm!r} {problem}") from None
    if not isinstance(rule, type) or not issubclass(rule, UpdateRule):
        raise SettingsError(f"algorithm = {algorithm!r} is no update rule; derive a class from ltro_jax.UpdateRule")
    unknown = sorted((rule.reads | rule.defaults.keys()) - SETTINGS.keys())
    if unknown:
        raise SettingsError(
            f"algorithm = {algorithm!r}: its rule names the setting {unknown[0]!r}, which nothing reads; "
            "correct its `reads` and `defaults`"
        )
    return rule


def default_settings(algorithm: str) -> Mapping[str, Any]:
    """Settings whose defaults the algorithm changes; none of an unknown name."""
    known = algorithm in ALGORITHMS or algorithm in registered(ENTRY_POINTS) or is_reference(algorithm)
    return get_rule(algorithm).defaults if known else {}


def readers(setting: str) -> list[str]:
    """The algorithms of `ALGORITHMS` that read `setting`; all of them where none names it."""
    named = [name for name, rule in ALGORITHMS.items() if setting in rule.settings()]
    return named or list(ALGORITHMS)


def is_read(setting: str, rule: type[UpdateRule]) -> bool:
    """Whether the rule reads `setting`: it names it, or no algorithm does."""
    return setting in rule.settings() or not any(setting in other.settings() for other in ALGORITHMS.values())
