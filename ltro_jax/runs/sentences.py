"""Messages at the start and the end of a run."""

from collections.abc import Iterable

from ltro_jax.config import Config
from ltro_jax.envs import EnvSpec
from ltro_jax.process.references import is_outside


def headline(what: str, config: Config, spec: EnvSpec) -> str:
    """The action of a process (`training`), its algorithm, task, seeds and length."""
    static, run = config.static, config.run
    points = f" × {len(config.points)} points" if run.grid else ""
    return (
        f"{what}: {static.algorithm} on {static.task} (team reward: {spec.team_reward_words}), "
        f"{len(run.seeds)} seeds{points}, {config.num_iterations} iterations of {static.steps_per_iteration} env steps"
    )


def frozen_members(config: Config, failed_at: Iterable[int]) -> str | None:
    """The members that became non-finite, the iteration, and a remedy; None if all members are healthy.

    Args:
        failed_at: iteration at which each member failed; -1 = never.
    """
    frozen = [
        f"{config.describe(member)} (iteration {at})"
        for member, at in zip(config.members, failed_at, strict=True)
        if at >= 0
    ]
    if not frozen:
        return None
    algorithm = config.static.algorithm
    cause = " or look for NaN in its weight and update" if is_outside(algorithm) else ""
    return f"{algorithm}: became non-finite and were frozen: {', '.join(frozen)}; try a smaller actor_lr{cause}"
