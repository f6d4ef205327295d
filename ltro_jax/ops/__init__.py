"""Pure numerics on arrays: no networks, no environments, no settings."""

from ltro_jax.ops.advantage import generalised_advantage
from ltro_jax.ops.layer_norm import LAYER_NORM_EPS, layer_norm
from ltro_jax.ops.losses import clipped_surrogate, clipped_value_loss
from ltro_jax.ops.statistics import (
    effective_sample_size,
    masked_fraction,
    masked_mean,
    masked_variance,
    standardise,
)
from ltro_jax.ops.trust_region import LineSearch, backtrack, conjugate_gradient
from ltro_jax.ops.value_norm import (
    denormalise,
    init_value_norm,
    normalise,
    update_value_norm,
    value_norm_moments,
)

__all__ = [
    "LAYER_NORM_EPS",
    "LineSearch",
    "backtrack",
    "clipped_surrogate",
    "clipped_value_loss",
    "conjugate_gradient",
    "denormalise",
    "effective_sample_size",
    "generalised_advantage",
    "init_value_norm",
    "layer_norm",
    "masked_fraction",
    "masked_mean",
    "masked_variance",
    "normalise",
    "standardise",
    "update_value_norm",
    "value_norm_moments",
]
