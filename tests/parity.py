"""Replay golden files with ltro_jax and compare every recorded array.

    python tests/parity.py DIRECTORY [--skip PATTERN]...

Each `*.npz` is replayed twice: in float64 against its `out64.*` and in float32 against its `out.*`. One line is
printed per array, and last how many passed and failed. The exit status is 1 if anything failed: an array outside its
tolerance, one that the replay does not recompute, or a file that nobody knows and that no `--skip` names.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from unittest import mock

import jax
import numpy as np
import optax

HERE = Path(__file__).resolve().parent
for folder in (HERE, HERE.parent):  # run from a clone, without an installed ltro_jax
    if str(folder) not in sys.path:
        sys.path.append(str(folder))

from replay.comparison import Comparison, Rounding, compare, failure, tolerance_of  # noqa: E402
from replay.fixtures import PRECISIONS, Fixture  # noqa: E402
from replay.registry import Replay, find_replay  # noqa: E402
from replay.torch_adam import bias_correction, clip_by_global_norm  # noqa: E402

ROUNDING_FILES = "*float32_vs_float64.json"
ONLY_RECORDED = "max_*_if_batch_is_shuffled"  # properties of the recording; there is nothing to replay


def load_rounding(directory: Path) -> Rounding:
    """The recordings' own rounding errors from all files of them; an array that none lists has the default."""
    return {
        name: listed
        for path in sorted(directory.glob(ROUNDING_FILES))
        for name, listed in json.loads(path.read_text()).items()
    }


def replay_file(path: Path, rounding: Rounding) -> Iterator[Comparison]:
    """Compare all outputs of one file at both precisions."""
    replay = find_replay(path.stem)
    if replay is None:
        yield failure(path.name, "unknown file: no replay is registered for its name")
        return
    try:
        fixture = Fixture.load(path)
    except Exception as error:
        yield failure(path.name, f"cannot be read: {error!r}")
        return
    outputs = {
        name.split(".", 1)[1]: None
        for name in fixture.arrays
        if name.split(".", 1)[0] in PRECISIONS and not fnmatchcase(name.split(".", 1)[1], ONLY_RECORDED)
    }
    if not outputs:
        yield failure(path.name, "no recorded outputs")
    for precision in PRECISIONS:
        yield from _replay_at(precision, fixture, replay, list(outputs), rounding)


def _replay_at(
    precision: str, fixture: Fixture, replay: Replay, outputs: list[str], rounding: Rounding
) -> Iterator[Comparison]:
    dtype = PRECISIONS[precision]
    try:
        x64, precise = jax.enable_x64(dtype == np.float64), jax.default_matmul_precision("highest")
        clip = mock.patch.object(optax, "clip_by_global_norm", clip_by_global_norm)
        adam = mock.patch.object(optax.tree, "bias_correction", bias_correction)
        with x64, precise, clip, adam:
            recomputed = {name: np.asarray(array) for name, array in replay(fixture, dtype).items()}
    except Exception as error:
        yield failure(f"{fixture.name} {precision}", f"replay raised {type(error).__name__}: {error}")
        return
    for output in outputs:
        name = f"{precision}.{output}"
        label = f"{fixture.name} {name}"
        if name not in fixture:
            yield failure(label, "not recorded at this precision")
        elif output not in recomputed:
            yield failure(label, "recorded, but not recomputed by the replay")
        else:
            tolerance = tolerance_of(fixture.name, output, precision, rounding)
            yield compare(label, recomputed[output], fixture.arrays[name], tolerance)


def named_by(patterns: list[str], path: Path) -> bool:
    """Whether a `--skip` pattern matches the file's name, with or without its suffix."""
    return any(fnmatchcase(name, pattern) for name in (path.name, path.stem) for pattern in patterns)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Replay golden files with ltro_jax and compare every array.")
    parser.add_argument("directory", type=Path, help="where the *.npz files are")
    parser.add_argument("--skip", metavar="PATTERN", action="append", default=[], help="shell pattern of file names")
    options = parser.parse_args(arguments)
    paths = sorted(options.directory.glob("*.npz"))
    if not paths:
        print(f"no *.npz files in {options.directory}", file=sys.stderr)
        return 1
    rounding, count = load_rounding(options.directory), Counter()
    for path in paths:
        if named_by(options.skip, path):
            print(f"{path.name}  skipped")
            continue
        for comparison in replay_file(path, rounding):
            count[comparison.passed] += 1
            print(comparison, flush=True)
    print(f"{count[True]} passed, {count[False]} failed")
    return 1 if count[False] else 0


if __name__ == "__main__":
    sys.exit(main())
