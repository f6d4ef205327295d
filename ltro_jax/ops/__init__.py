"""Pure numerics on arrays: no networks, no environments, no settings."""

from ltro_jax.ops.advantage import generalised_advantage
from ltro_jax.ops.factor import (
    clamped_factor,
    clamped_term,
    powered_factor,
    self_normalised_factor,
    two_sided_factor,
)
from ltro_jax.ops.layer_norm import LAYER_NORM_EPS, layer_norm
from ltro_jax.ops.losses import clipped_surrogate, clipped_value_loss
from ltro_jax.ops.order import advantage_scores, greedy_order, random_picks, semi_greedy_order
from ltro_jax.ops.ratio import MAX_RATIO, bounded, probability_ratio
from ltro_jax.ops.statistics import (
    compensated_add,
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
    "MAX_RATIO",
    "LineSearch",
    "advantage_scores",
    "backtrack",
    "bounded",
    "clamped_factor",
    "clamped_term",
    "clipped_surrogate",
    "clipped_value_loss",
    "compensated_add",
    "conjugate_gradient",
    "denormalise",
    "effective_sample_size",
    "generalised_advantage",
    "greedy_order",
    "init_value_norm",
    "layer_norm",
    "masked_fraction",
    "masked_mean",
    "masked_variance",
    "normalise",
    "powered_factor",
    "probability_ratio",
    "random_picks",
    "self_normalised_factor",
    "semi_greedy_order",
    "standardise",
    "two_sided_factor",
    "update_value_norm",
    "value_norm_moments",
]
