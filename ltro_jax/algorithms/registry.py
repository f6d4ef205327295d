"""Algorithm names → recipes. A new algorithm is one `agent_update` function and one line here.

A setting that some recipe names is read by the algorithms that name it; all others are read by every algorithm.
"""

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
    reads: frozenset[str]  # settings of the agent update that other algorithms may not have
    sequential: bool = True  # agents one after another, weighted by the factor; else all at once with weight 1
    local_critics: bool = False  # one critic per agent on its own observation; else one central critic
    shareable: bool = False  # all agents may share one actor

    @property
    def settings(self) -> frozenset[str]:
        """All settings that it reads and that another algorithm may not."""
        of_the_factor = {"factor_clip", "agent_order"} if self.sequential else set()
        return self.reads | of_the_factor | (set() if self.local_critics else {"critic_input"})


PPO = frozenset({"actor_lr", "ent_coef", "actor_epochs", "actor_minibatches"})
TRUST_REGION = frozenset({"kl_threshold", "accept_ratio", "backtrack_coeff", "ls_steps", "cg_iterations"})

ALGORITHMS: dict[str, Recipe] = {
    "clip_happo": Recipe(
        make_ppo_update, "HAPPO with the factor clamped at factor_clip = 1 (Le & Ta 2025)", PPO, shareable=True
    ),
    "happo": Recipe(make_ppo_update, "sequential PPO, factor_clip = inf (Kuba et al. 2022)", PPO, shareable=True),
    "clip_hatrpo": Recipe(
        make_trust_region_update, "HATRPO with the factor clamped at factor_clip = 1 (Le & Ta 2025)", TRUST_REGION
    ),
    "hatrpo": Recipe(
        make_trust_region_update, "sequential trust-region steps, factor_clip = inf (Kuba et al. 2022)", TRUST_REGION
    ),
    "mappo": Recipe(
        make_ppo_update, "simultaneous PPO, central critic (Yu et al. 2022)", PPO, sequential=False, shareable=True
    ),
    "ippo": Recipe(
        make_ppo_update,
        "simultaneous PPO, one critic per agent (de Witt et al. 2020)",
        PPO,
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


def readers(setting: str) -> list[str]:
    """The algorithms that read `setting`; all of them where none names it."""
    named = [name for name, recipe in ALGORITHMS.items() if setting in recipe.settings]
    return named or list(ALGORITHMS)
