"""Environments whose episodes never end."""

import xarray as xr

from ltro_jax.config import Static
from ltro_jax.envs import EnvSpec


class EndlessWatch:
    """Tells once if no episode has ended in twice the time that one may take."""

    def __init__(self, spec: EnvSpec, static: Static):
        self._spec, self._static = spec, static
        self._steps = 0  # of each environment
        self._settled = False  # an episode has ended, or it has been told

    def after(self, rows: xr.Dataset) -> str | None:
        """A sentence, if it is time for it; `rows` are the metrics of the next iterations."""
        self._steps += rows.sizes["iteration"] * self._static.rollout_length
        ended = bool((rows["episodes"] > 0).any())
        told = not self._settled and not ended and self._steps >= 2 * self._spec.episode_length
        self._settled = self._settled or ended or told
        if not told:
            return None
        return (
            f"no episode of {self._spec.name} has ended in {self._steps} steps, though its episode_length is "
            f"{self._spec.episode_length}: neither terminated nor truncated has come true"
        )
