"""Names of bodies and cores. A new one is one class in one file, and one line here."""

from collections.abc import Mapping
from typing import Any, cast

import jax
import jax.numpy as jnp
from flax import linen as nn

from ltro_jax.config import SettingsError
from ltro_jax.networks.body import MLP
from ltro_jax.networks.features import BodyFactory
from ltro_jax.networks.recurrent import GRU, LSTM, Core
from ltro_jax.process.references import ReferenceProblem, is_reference, registered, resolve

BODIES: dict[str, BodyFactory] = {"mlp": MLP}
CORES: dict[str, type[Core]] = {"gru": GRU, "lstm": LSTM}
ENTRY_POINTS = {"network": "ltro_jax.networks", "core": "ltro_jax.cores"}  # groups in which packages name theirs


def get_body(network: str, hidden_sizes: tuple[int, ...], input_size: int) -> BodyFactory:
    """The body of the setting `network`: a name of `BODIES`, an entry point, or `module:attribute`.

    Args:
        hidden_sizes, input_size: the sizes at which a body other than `MLP` is checked, by its shapes alone.
    Raises:
        SettingsError: unknown name, a module that may not be imported or does not exist, or a body that breaks the
            contract of `BodyFactory`.
    """
    body: Any = _named("network", network, BODIES)
    if body is MLP:
        return MLP
    words = f"network = {network!r}"
    module: Any = body(hidden_sizes) if callable(body) else None
    if not isinstance(module, nn.Module):
        raise SettingsError(f"{words} is no body; give a flax module class or a function hidden_sizes → module")
    for batch in ((1,), (2, 3)):
        x, mask = (jax.ShapeDtypeStruct((*batch, input_size), dtype) for dtype in (jnp.float32, jnp.bool_))
        variables = jax.eval_shape(lambda x, mask: module.init(jax.random.key(0), x, mask), x, mask)
        extra = sorted(variables.keys() - {"params"})
        if extra:
            raise SettingsError(
                f"{words}: the body has variables of the kind {extra[0]!r}; only parameters are possible"
            )
        features = jax.eval_shape(module.apply, variables, x, mask)
        if not _is_output(features, batch):
            raise SettingsError(
                f"{words}: for inputs of shape {x.shape} the body returns {_words(features)}; "
                f"it must return float32 features of shape ({', '.join(map(str, batch))}, F)"
            )
    return cast(BodyFactory, body)


def get_core(core: str, width: int) -> type[Core]:
    """The core of the setting `core`: a name of `CORES`, an entry point, or `module:attribute`.

    Args:
        width: H, at which a core from outside is checked, by its shapes alone.
    Raises:
        SettingsError: unknown name, a module that may not be imported or does not exist, or a core that breaks the
            contract of `Core`.
    """
    kind = _named("core", core, CORES)
    if kind in (GRU, LSTM):
        return kind
    words = f"core = {core!r}"
    if not isinstance(kind, type) or not issubclass(kind, Core):
        raise SettingsError(f"{words} is no recurrent core; derive a class from ltro_jax.networks.Core")
    module = kind(width)
    x, start = jax.ShapeDtypeStruct((2, 3, width), jnp.float32), jax.ShapeDtypeStruct((2, 3), jnp.bool_)
    hidden, per_step = (jax.eval_shape(lambda batch=batch: module.initial_hidden(batch)) for batch in ((2,), (2, 3)))
    output, after = jax.eval_shape(
        lambda x, hidden, start: module.init_with_output(jax.random.key(0), x, hidden, start)[0], x, hidden, start
    )
    if not _is_output(output, (2, 3)):
        raise SettingsError(
            f"{words}: for inputs of shape {x.shape} the core returns {_words(output)}; "
            "it must return float32 outputs of shape (2, 3, F)"
        )
    if _layout(after) != _layout(per_step):
        raise SettingsError(
            f"{words}: the hidden state that the core returns differs from `initial_hidden` with the axis of steps "
            f"after the batch; it must be {_layout(per_step)[1]}"
        )
    return kind


def _named(setting: str, value: str, table: Mapping[str, Any]) -> Any:
    """What the setting names in `table`, among the entry points, or in a module."""
    points = registered(ENTRY_POINTS[setting])
    if value in table:
        return table[value]
    if value not in points and not is_reference(value):
        known = ", ".join([*table, *points])
        raise SettingsError(f"{setting} = {value!r} is unknown; allowed are {known}, and module:name for your own")
    try:
        return points[value].load() if value in points else resolve(value)
    except ReferenceProblem as problem:
        raise SettingsError(f"{setting} = {value!r} {problem}") from None


def _is_output(value: Any, batch: tuple[int, ...]) -> bool:
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    return shape is not None and dtype == jnp.float32 and shape[:-1] == batch and len(shape) == len(batch) + 1


def _layout(tree: Any) -> tuple[Any, list[str]]:
    return jax.tree.structure(tree), [f"{leaf.dtype}{list(leaf.shape)}" for leaf in jax.tree.leaves(tree)]


def _words(value: Any) -> str:
    return f"{value.dtype} of shape {value.shape}" if hasattr(value, "shape") else f"a {type(value).__name__}"
