"""Action distributions of policies: masked categorical and diagonal Gaussian.

Both take a `mask` `[…, A]`. For the categorical it marks the available actions. For the Gaussian it marks the
dimensions that exist, because agents with fewer dimensions than others are padded.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Bool, Float, Int, Key

from ltro_jax.types import Array, Scalar

UNAVAILABLE = -1e10  # logit of an unavailable action: probability exactly 0 in float32 and float64


class Categorical(struct.PyTreeNode):
    """Categorical over the available actions out of A."""

    logits: Float[Array, "*batch A"]  # normalised log-probabilities

    @classmethod
    def create(cls, logits: Float[Array, "*batch A"], mask: Bool[Array, "*#batch A"]) -> "Categorical":
        """Build from raw logits; the logit becomes −1e10 where `mask` is False."""
        return cls(jax.nn.log_softmax(jnp.where(mask, logits, UNAVAILABLE)))

    def sample(self, key: Key[Array, ""]) -> Int[Array, "*batch"]:
        """Draw int32 actions."""
        return self.perturbed(sampling_noise(key, self.logits.shape, discrete=True))

    def perturbed(self, noise: Float[Array, "*batch A"]) -> Int[Array, "*batch"]:
        """Draw int32 actions with the given `noise` of `sampling_noise`. Source: Gumbel 1954."""
        return jnp.argmax(self.logits + noise, axis=-1).astype(jnp.int32)

    def mode(self) -> Int[Array, "*batch"]:
        """The most probable action, int32."""
        return jnp.argmax(self.logits, axis=-1).astype(jnp.int32)

    def log_prob(self, action: Int[Array, "*#batch"]) -> Float[Array, "*#batch"]:
        """Log-probability in nats."""
        chosen = jax.nn.one_hot(action, self.logits.shape[-1], dtype=bool)
        return jnp.sum(jnp.where(chosen, self.logits, 0.0), axis=-1)

    def entropy(self) -> Float[Array, "*batch"]:
        """Entropy in nats."""
        return -jnp.sum(jnp.exp(self.logits) * self.logits, axis=-1)

    def kl(self, other: Any) -> Float[Array, "*batch"]:
        """KL(self ‖ other) in nats, exact; `other` has the same class."""
        return jnp.sum(jnp.exp(self.logits) * (self.logits - other.logits), axis=-1)

    def log_ratio_moment(self, new: Any, power: int) -> Float[Array, "*batch"]:
        """log E_self[(new/self)ᵏ], k = `power`, exact; k = 2 is log(1 + χ²(new ‖ self))."""
        return jax.nn.logsumexp(power * new.logits - (power - 1) * self.logits, axis=-1)

    def parameters(self) -> tuple[Float[Array, "*batch A"], ...]:
        """Coordinates of the Fisher matrix: the normalised log-probabilities."""
        return (self.logits,)

    def fisher_product(self, tangent: tuple[Float[Array, "*batch A"], ...]) -> tuple[Float[Array, "*batch A"], ...]:
        """Fisher matrix of each sample times a tangent of `parameters()`: p · dℓ."""
        return (jnp.exp(self.logits) * tangent[0],)


class DiagonalGaussian(struct.PyTreeNode):
    """Gaussian with independent dimensions; padded dimensions have no influence and are drawn as 0."""

    mean: Float[Array, "*batch A"]
    std: Float[Array, "*#batch A"]  # > 0
    mask: Bool[Array, "*#batch A"]  # True = the dimension exists

    def _sum(self, x: Float[Array, "*batch A"]) -> Float[Array, "*batch"]:
        return jnp.sum(jnp.where(self.mask, x, 0.0), axis=-1)

    def sample(self, key: Key[Array, ""]) -> Float[Array, "*batch A"]:
        """Draw actions."""
        return self.perturbed(sampling_noise(key, self.mean.shape, discrete=False))

    def perturbed(self, noise: Float[Array, "*batch A"]) -> Float[Array, "*batch A"]:
        """Draw actions with the given `noise` of `sampling_noise`."""
        return jnp.where(self.mask, self.mean + self.std * noise, 0.0)

    def mode(self) -> Float[Array, "*batch A"]:
        """The mean."""
        return jnp.where(self.mask, self.mean, 0.0)

    def log_prob(self, action: Float[Array, "*#batch A"]) -> Float[Array, "*#batch"]:
        """Log-density in nats, summed over the dimensions of the action."""
        z = (action - self.mean) / self.std
        return self._sum(-0.5 * jnp.square(z) - jnp.log(self.std) - 0.5 * math.log(2 * math.pi))

    def entropy(self) -> Float[Array, "*batch"]:
        """Entropy in nats, summed over dimensions."""
        per_dimension = 0.5 + 0.5 * math.log(2 * math.pi) + jnp.log(self.std)
        return self._sum(jnp.broadcast_to(per_dimension, self.mean.shape))

    def kl(self, other: Any) -> Float[Array, "*batch"]:
        """KL(self ‖ other) in nats, exact, summed over dimensions; `other` has the same class."""
        z = (self.mean - other.mean) / other.std
        scale = self.std / other.std
        return self._sum(0.5 * (jnp.square(scale) + jnp.square(z) - 1.0) - jnp.log(scale))

    def log_ratio_moment(self, new: Any, power: int) -> Float[Array, "*batch"]:
        """log E_self[(new/self)ᵏ], k = `power`, exact; ∞ where k σ² ≤ (k − 1) σ'². Source: Gil et al. 2013."""
        variance, new_variance = jnp.square(self.std), jnp.square(new.std)
        mixed = power * variance - (power - 1) * new_variance
        exists = mixed > 0
        mixed = jnp.where(exists, mixed, 1.0)
        shift = power * (power - 1) * jnp.square(new.mean - self.mean) / (2.0 * mixed)
        scale = (power - 1) * jnp.log(self.std / new.std) + 0.5 * jnp.log(variance / mixed)
        return self._sum(jnp.where(exists, shift + scale, jnp.inf))

    def parameters(self) -> tuple[Float[Array, "*batch A"], ...]:
        """Coordinates of the Fisher matrix: mean and standard deviation."""
        return self.mean, self.std

    def fisher_product(self, tangent: tuple[Float[Array, "*batch A"], ...]) -> tuple[Float[Array, "*batch A"], ...]:
        """Fisher matrix of each sample times a tangent of `parameters()`: (dμ / σ², 2 dσ / σ²)."""
        mean, std = tangent
        precision = jnp.where(self.mask, 1.0 / jnp.square(self.std), 0.0)
        return precision * mean, 2.0 * precision * std


Distribution = Categorical | DiagonalGaussian


def sampling_noise(key: Key[Array, ""], shape: tuple[int, ...], discrete: bool) -> Float[Array, "*batch A"]:
    """Noise of the given shape `[…, A]` for `perturbed`: standard Gumbel if discrete, standard normal otherwise.

    It is separate from `sample` so that a rollout can draw the noise of all its steps in advance.
    """
    return jax.random.gumbel(key, shape) if discrete else jax.random.normal(key, shape)


def gaussian_std(log_std: Float[Array, "*A"], std_x_coef: Scalar, std_y_coef: Scalar) -> Float[Array, "*A"]:
    """Bounded standard deviation sigmoid(log_std / x) · y, as in the published implementation."""
    return jax.nn.sigmoid(log_std / std_x_coef) * std_y_coef
