"""Names of metrics: those of the dataset, the flat ones that trackers and tables show, and what a typo is answered."""

import difflib
from collections.abc import Collection, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from ltro_jax.config import Hypers, SettingsError
from ltro_jax.training import Train

ROWS = ("member", "iteration")


def flat_metrics(dataset: xr.Dataset) -> dict[str, np.ndarray]:
    """Every metric by its flat name, in the same words everywhere.

    Returns:
        `[member, iteration]` arrays: `episode_return`; per position in the order `position/adv_variance_used/2`; per
        agent `agent/entropy/0`.
    """
    flat = {}
    for name, values in dataset.data_vars.items():
        axis = next((dim for dim in values.dims if dim not in ROWS), None)
        if axis is None:
            flat[str(name)] = values.transpose(*ROWS).values
        else:
            columns = values.transpose(axis, *ROWS).values
            flat |= {f"{axis}/{name}/{index}": column for index, column in enumerate(columns)}
    return flat


def choose_metrics(dataset: xr.Dataset, names: Sequence[str]) -> dict[str, np.ndarray]:
    """The flat metrics called `names`; a metric of positions or agents may be named as a whole: `entropy`.

    Raises:
        SettingsError: there is no such metric.
    """
    flat = flat_metrics(dataset)
    chosen: dict[str, np.ndarray] = {}
    for name in names:
        if name not in dataset.data_vars and name not in flat:
            raise unknown_metric(name, [*map(str, dataset.data_vars), *flat])
        chosen |= {key: column for key, column in flat.items() if name in (key, *key.split("/")[1:2])}
    return chosen


def unknown_metric(name: str, known: Collection[str]) -> SettingsError:
    """The sentence for a name that is not among `known`: those that are close, and all that are no single column."""
    near = difflib.get_close_matches(name, sorted(set(known)), 3)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    whole = sorted({word for word in known if "/" not in word})
    return SettingsError(f"metric = {name!r} is unknown; {hint}there are {', '.join(whole)}")


def member_metrics(program: Train) -> list[str]:
    """The metrics with one number for each member, told without compiling anything."""
    hypers = Hypers()
    state = jax.eval_shape(program.init, jnp.uint32(0), hypers)
    _, metrics = jax.eval_shape(program.iterate, state, hypers)
    evaluated = jax.eval_shape(program.evaluate, state, hypers) if program.parts.static.eval_episodes else {}
    return [*metrics.scalar, *evaluated]
