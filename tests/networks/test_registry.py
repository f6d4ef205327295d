"""Bodies and cores from outside the package: padding, initial parameters, and rejected contracts."""

# numpy arrays stand in for jax arrays
# pyright: reportArgumentType=false

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from ltro_jax.config import Hypers, SettingsError
from ltro_jax.networks import GRU, Core, apply_agents, get_body, get_core, make_actor
from ltro_jax.networks.body import MLP

HYPERS = jax.tree.map(np.float32, Hypers())
HERE = __name__


class Sum(nn.Module):
    """A body whose features count the entries that exist."""

    sizes: tuple[int, ...]

    @nn.compact
    def __call__(self, x, mask):
        count = jnp.sum(jnp.ones_like(x) if mask is None else mask, axis=-1, keepdims=True)
        gain = self.param("gain", nn.initializers.normal(), (self.sizes[-1],))
        return jnp.sum(x, axis=-1, keepdims=True) / count * jnp.broadcast_to(gain, (*x.shape[:-1], self.sizes[-1]))


class Flat(Sum):
    def __call__(self, x, mask):
        return jnp.zeros(x.shape[:1])


class Whole(Sum):
    """Right for a single batch axis, wrong for two."""

    def __call__(self, x, mask):
        return x.reshape(x.shape[0], -1)


class Counting(Sum):
    @nn.compact
    def __call__(self, x, mask):
        self.variable("batch_stats", "mean", jnp.zeros, ())
        return x


class Clock(Core):
    """A core with an integer as hidden state: the step of the episode, from 1."""

    def initial_hidden(self, batch_shape):
        return {"step": jnp.ones(batch_shape, jnp.int32)}

    def __call__(self, x, hidden, start):
        since = jnp.cumsum(jnp.ones_like(start, jnp.int32), axis=-1)
        after = {"step": hidden["step"][..., None] + since}
        return x * after["step"][..., None], after


class Forgetful(Clock):
    def __call__(self, x, hidden, start):
        return x, hidden


class Dumb(Clock):
    def __call__(self, x, hidden, start):
        return hidden["step"], hidden


def number(sizes):
    return 3


def test_names():
    assert get_body("mlp", (8,), 5) is MLP and get_core("gru", 8) is GRU
    assert get_body(f"{HERE}:Sum", (8,), 5) is Sum and get_core(f"{HERE}:Clock", 8) is Clock


@pytest.mark.parametrize(
    "name, sentence",
    [
        ("cnn", "network = 'cnn' is unknown; allowed are mlp, and module:name for your own"),
        (f"{HERE}:Lost", "names nothing"),
        ("no_such_module:Body", "add --allow-import no_such_module"),
        (f"{HERE}:number", "is no body; give a flax module class or a function hidden_sizes → module"),
        (f"{HERE}:Flat", r"Flat': for inputs of shape \(1, 5\) the body returns float32 of shape \(1,\); it must"),
        (f"{HERE}:Whole", r"Whole': for inputs of shape \(2, 3, 5\) the body .* shape \(2, 15\); .* \(2, 3, F\)"),
        (f"{HERE}:Counting", "the body has variables of the kind 'batch_stats'; only parameters are possible"),
    ],
)
def test_bodies_that_are_rejected(name, sentence):
    with pytest.raises(SettingsError, match=sentence):
        get_body(name, (8,), 5)


@pytest.mark.parametrize(
    "name, sentence",
    [
        ("rnn", "core = 'rnn' is unknown; allowed are gru, lstm, and module:name for your own"),
        (f"{HERE}:Sum", "is no recurrent core; derive a class from ltro_jax.networks.Core"),
        (
            f"{HERE}:Dumb",
            r"the core returns int32 of shape \(2,\); it must return float32 outputs of shape \(2, 3, F\)",
        ),
        (f"{HERE}:Forgetful", r"differs from `initial_hidden` .*; it must be \['int32\[2, 3\]'\]"),
    ],
)
def test_cores_that_are_rejected(name, sentence):
    with pytest.raises(SettingsError, match=sentence):
        get_core(name, 8)


def test_a_body_from_outside_draws_its_own_parameters_and_padding_changes_nothing():
    """Two agents of sizes 2 and 3; a core with an integer state counts their steps from its own initial state."""
    actor = make_actor([2, 3], [4, 4], True, (6,), Clock, layer_norm=False, body=Sum)
    params = jax.jit(actor.init)(jax.random.key(0), HYPERS)
    gain, head = params["params"]["body"]["gain"], params["params"]["head"]["kernel"]
    assert gain.shape == (2, 6) and (gain[0] != gain[1]).all() and not np.isin(gain, (0.0, 1.0)).any()
    np.testing.assert_allclose(head[0].T @ head[0], 1e-4 * np.eye(4), atol=1e-9)  # as with every other body
    mask = np.arange(3) < np.array([[2], [3]])
    x, available = np.array([[1.0, 3.0, 99.0], [1.0, 2.0, 6.0]], np.float32), np.ones((2, 4), bool)
    step = jax.jit(lambda hidden: apply_agents(actor, params, x, hidden, available, mask, HYPERS))
    hidden = actor.initial_hidden((2,))
    for count in (2, 3):
        distribution, hidden = step(hidden)
        assert hidden["step"].dtype == jnp.int32 and hidden["step"].tolist() == [count, count]
        raw = np.einsum("nf,nfa->na", count * np.array([[2.0], [3.0]]) * np.asarray(gain), np.asarray(head))
        expected = raw - np.log(np.exp(raw).sum(-1, keepdims=True))
        np.testing.assert_allclose(jax.nn.log_softmax(distribution.logits), expected, rtol=1e-5)
