"""The setting `share_parameters`: which agents have the same parameters. Needs no JAX."""

from collections.abc import Sequence

from ltro_jax.config.coercion import SettingsError

NONE, ALL, GROUPS = "none", "all", "groups"
WORDS = f"{NONE}, {ALL}, {GROUPS} (agents of one type), or the group of each agent from 0 like 0,0,1,1"


def check_sharing(value: str) -> None:
    """Refuse a value that is none of the words and no list of groups.

    Raises:
        SettingsError: it names the groups that are missing.
    """
    if value not in (NONE, ALL, GROUPS):
        _listed(value)


def parameter_groups(value: str, types: Sequence[str]) -> tuple[int, ...]:
    """The group of each of the N agents, numbered from 0 by first appearance.

    Args:
        types: N names; agents of one type form a group where `value` is `groups`.
    Raises:
        SettingsError: a list of another length than N.
    """
    num_agents = len(types)
    if value == NONE:
        return tuple(range(num_agents))
    if value == ALL:
        return (0,) * num_agents
    groups = types if value == GROUPS else _listed(value)
    if len(groups) != num_agents:
        raise SettingsError(
            f"share_parameters = {value} names the groups of {len(groups)} agents; the task has {num_agents}"
        )
    first = list(dict.fromkeys(groups))
    return tuple(first.index(group) for group in groups)


def _listed(value: str) -> tuple[int, ...]:
    try:
        groups = tuple(int(part) for part in value.split(","))
    except ValueError:
        raise SettingsError(f"share_parameters = {value!r} is not one of {WORDS}") from None
    if set(groups) != set(range(max(groups) + 1)):
        raise SettingsError(f"share_parameters = {value} skips a group; number the groups from 0 without a gap")
    return groups
