"""Detect environments whose episodes never end."""

import xarray as xr

from ltro_jax.config import Static
from ltro_jax.envs import EnvSpec


class EndlessWatch:
    """Warns once if no episode has ended within twice the episode length."""

    def __init__(self, spec: EnvSpec, static: Static):
        self._spec, self._static = spec, static
        self._steps = 0  # of each environment
        self._settled = False  # an episode has ended, or the warning was given

    def after(self, rows: xr.Dataset) -> str | None:
        """The warning, if it is due; `rows` are the metrics of the latest iterations."""
        self._steps += rows.sizes["iteration"] * self._static.rollout_length
        ended = bool((rows["episodes"] > 0).any())
        due = not self._settled and not ended and self._steps >= 2 * self._spec.episode_length
        self._settled = self._settled or ended or due
        if not due:
            return None
        return (
            f"no episode of {self._spec.name} has ended in {self._steps} steps, although its episode_length is "
            f"{self._spec.episode_length}: neither terminated nor truncated became true"
        )
