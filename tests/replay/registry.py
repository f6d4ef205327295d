"""Which function replays which file. A new kind of file is one function and one line here."""

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from ltro_jax.types import Array
from replay.a2po import a2po_order, a2po_trace
from replay.a2po_actor_pass import a2po_actor_pass
from replay.actors import sequential_update
from replay.fixtures import Fixture
from replay.policies import policy_categorical, policy_gaussian, policy_gru
from replay.shared_parameters import shared_parameters
from replay.trust_region import trust_region
from replay.values import critic_update, gae, value_norm

# (fixture, dtype) → {name of the output without `out.` or `out64.`: recomputed value}
Replay = Callable[[Fixture, Any], Mapping[str, Array | np.ndarray]]

REPLAYS: dict[str, Replay] = {
    "policy_categorical": policy_categorical,
    "policy_gaussian": policy_gaussian,
    "policy_gru": policy_gru,
    "gae": gae,
    "value_norm": value_norm,
    "critic_update*": critic_update,
    "trust_region_*": trust_region,
    "sequential_update_happo_discrete*": sequential_update,
    "sequential_update_happo_continuous*": sequential_update,
    "sequential_update_clip_happo_discrete*": sequential_update,
    "sequential_update_clip_happo_continuous*": sequential_update,
    "sequential_update_*_gru": sequential_update,
    "shared_parameters_*": shared_parameters,
    "a2po_trace": a2po_trace,
    "a2po_order": a2po_order,
    "a2po_actor_pass_*": a2po_actor_pass,
}


def find_replay(name: str) -> Replay | None:
    """The function for a file's name without .npz; None if nobody knows it."""
    matching = [replay for pattern, replay in REPLAYS.items() if fnmatchcase(name, pattern)]
    return matching[0] if matching else None
