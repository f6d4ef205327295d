"""Algorithm names → recipes. A new algorithm is one `agent_update` function and one line here."""

from collections.abc import Callable
from typing import NamedTuple

from ltro_jax.algorithms.ppo_step import make_ppo_update
from ltro_jax.algorithms.sequential import AgentUpdate
from ltro_jax.algorithms.trust_region_step import make_trust_region_update
from ltro_jax.config import SettingsError, Static
from ltro_jax.networks import Actor


class Recipe(NamedTuple):
    """What distinguishes one algorithm of the family from another."""

    make_agent_update: Callable[[Actor, Static], AgentUpdate]
    summary: str
    sequential: bool = True  # agents one after another, weighted by the factor; else all at once with weight 1
    local_critics: bool = False  # one critic per agent on its own observation; else one central critic
    shareable: bool = False  # all agents may share one actor


ALGORITHMS: dict[str, Recipe] = {
    "clip_happo": Recipe(
        make_ppo_update, "HAPPO with the factor clamped at factor_clip = 1 (Le & Ta 2025)", shareable=True
    ),
    "happo": Recipe(make_ppo_update, "sequential PPO, factor_clip = inf (Kuba et al. 2022)", shareable=True),
    "clip_hatrpo": Recipe(make_trust_region_update, "HATRPO with the factor clamped at factor_clip = 1 (Le & Ta 2025)"),
    "hatrpo": Recipe(make_trust_region_update, "sequential trust-region steps, factor_clip = inf (Kuba et al. 2022)"),
    "mappo": Recipe(
        make_ppo_update, "simultaneous PPO, central critic (Yu et al. 2022)", sequential=False, shareable=True
    ),
    "ippo": Recipe(
        make_ppo_update,
        "simultaneous PPO, one critic per agent (de Witt et al. 2020)",
        sequential=False,
        local_critics=True,
        shareable=True,
    ),
}


def get_recipe(name: str) -> Recipe:
    """The recipe of `name`.

    Raises:
        SettingsError: unknown algorithm.
    """
    if name not in ALGORITHMS:
        raise SettingsError(f"algorithm = {name!r} is unknown; allowed are {', '.join(ALGORITHMS)}")
    return ALGORITHMS[name]
