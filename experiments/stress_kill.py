"""SIGKILL at random moments: what a run loses, and whether its result equals that of an uninterrupted run.

    python experiments/stress_kill.py

Trains `mpe/simple_spread` with three seeds, a checkpoint every third iteration, and kills `ltro train`, `ltro resume`
and `ltro sweep` over and over: while they start and compile, at any moment of training, inside checkpoint and metric
writes. After every kill the run must open and its newest intact checkpoint may lack at most one interval of finished
iterations; at the end all states and metrics must equal those of an uninterrupted run to the last bit (on a CPU). The
first violation ends the script with exit code 1 and leaves the run as it is.
"""

import argparse
import json
import os
import platform
import pty
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import xarray as xr

import ltro_jax
from ltro_jax.process.files import is_leftover
from ltro_jax.runs.sweep import is_sweep, load_sweep
from ltro_jax.storage import has_checkpoints

INTERVAL, KEPT = 3, 2  # iterations between checkpoints; how many of them stay
SETTINGS = {
    "seeds": "0:3",
    "num_envs": 4,
    "rollout_length": 25,
    "hidden_sizes": "32,32",
    "actor_epochs": 2,
    "critic_epochs": 2,
    "eval_interval": 1,
    "eval_episodes": 2,
    "checkpoint_interval": INTERVAL,
    "keep_checkpoints": KEPT,
}
GRID = "actor_minibatches=1,2"  # a static setting: a sweep of two runs
LTRO = (sys.executable, "-c", "import sys; from ltro_jax.cli import main; sys.exit(main())")
AIMS = ("start", "compile", "training", "checkpoint write", "metric write")
ODDS = (1, 2, 3, 4, 4)


class Life(NamedTuple):
    """One process, from its start to its end."""

    shown: str  # everything it printed
    code: int  # exit code; −9 = killed

    @property
    def killed(self) -> bool:
        """Whether the signal hit a live process."""
        return self.code == -signal.SIGKILL


@dataclass
class Tally:
    """The results so far."""

    rounds: int = 0
    kills: int = 0
    places: Counter[str] = field(default_factory=Counter)  # stages of the kills, according to the disk
    longest_loss: int = 0  # finished iterations that had to be repeated


def live(arguments: Sequence[str], moment: Callable[[Callable[[], str], Callable[[], bool]], None] | None) -> Life:
    """Run `ltro …` on a separate terminal, where it reports every iteration; kill it when `moment` returns.

    Args:
        moment: called with `shown() → str` and `alive() → bool`; None lets the process end by itself.
    """
    terminal, end = pty.openpty()
    process = subprocess.Popen([*LTRO, *arguments], stdin=subprocess.DEVNULL, stdout=end, stderr=end)
    os.close(end)
    chunks: list[bytes] = []

    def read() -> None:
        with suppress(OSError):  # Linux reports the end of a terminal as an error.
            while chunk := os.read(terminal, 65536):
                chunks.append(chunk)

    reader = threading.Thread(target=read)
    reader.start()
    if moment:
        moment(lambda: b"".join(chunks).decode(errors="replace"), lambda: process.poll() is None)
        process.kill()
    code = process.wait()
    reader.join()
    os.close(terminal)
    return Life(b"".join(chunks).decode(errors="replace"), code)


def choose_moment(random_number: random.Random, path: Path, startup: float) -> Callable[..., None]:
    """A moment to kill the process that works at `path`; `startup`: seconds until it trains."""
    aim = random_number.choices(AIMS, ODDS)[0]
    delay, late = random_number.uniform(0, 2.5), random_number.uniform(0, 0.06)

    def wait_until(happens: Callable[[], bool], alive: Callable[[], bool], pause: float) -> None:
        while alive() and not happens():
            time.sleep(pause)

    def moment(shown: Callable[[], str], alive: Callable[[], bool]) -> None:
        if aim == "start":
            time.sleep(random_number.uniform(0, startup))
            return
        if aim == "compile":
            wait_until(lambda: "iterations of" in shown(), alive, 0.01)
            time.sleep(random_number.uniform(0, startup / 3))
            return
        wait_until(lambda: "compiled in" in shown(), alive, 0.01)
        time.sleep(delay)
        if aim == "checkpoint write":
            wait_until(lambda: any(path.glob("**/checkpoints/.writing-*")), alive, 0.001)
            time.sleep(late)
        if aim == "metric write":
            folders = list(path.glob("**/metrics"))
            wait_until(lambda: any(name[0] == "." for at in folders for name in os.listdir(at)), alive, 0)

    return moment


def runs_at(path: Path) -> dict[str, Path]:
    """The run directories of a run or a sweep, in the order in which they are worked on."""
    return {name: path / name for name in load_sweep(path).configs} if is_sweep(path) else {"": path}


def intact_iteration(path: Path) -> int:
    """The newest checkpoint that can be restored; 0 before the first."""
    if not (path / "settings.json").exists():
        return 0
    run = ltro_jax.load_run(path)
    return run.restore().iteration if has_checkpoints(run.directory.checkpoints) else 0


def place_of_death(path: Path, shown: str, intact: int) -> str:
    """The stage at which the process at `path` was killed, from its last output and the files on the disk."""
    if "iterations of" not in shown:
        return "start"
    if "compiled in" not in shown:
        return "compile"
    if any(map(is_leftover, (path / "metrics").glob(".*"))):
        return "metric write"
    if any((path / "checkpoints").glob(".writing-*")):
        return "checkpoint write"
    if ltro_jax.load_run(path).iteration > intact:
        return "between metrics and checkpoint"
    if len(list((path / "checkpoints").glob("[0-9]*"))) > KEPT:
        return "deletion of the oldest checkpoint"
    return "training"


def judge(path: Path, life: Life, before: dict[str, int], tally: Tally) -> dict[str, int]:
    """Check the files after a kill; return the intact iteration of each run.

    Raises:
        AssertionError: more is lost than allowed.
        RunError: a run does not open.
    """
    if path.exists() and not is_sweep(path) and not (path / "settings.json").exists():
        tally.places["start"] += 1  # before the directory was complete: the same command creates it again
        return before
    runs, now = runs_at(path), {}
    *_, shown = re.split(r"\[\d+/\d+\] ", life.shown)
    working = re.findall(r"\[(\d+)/\d+\] ", life.shown)
    current = list(runs)[int(working[-1]) - 1 if working else 0]
    for name, at in runs.items():
        now[name] = intact = intact_iteration(at)
        assert intact >= before.get(name, 0), f"{at} fell back from {before[name]} to {intact}"
        if not (at / "settings.json").exists():
            continue
        run = ltro_jax.load_run(at)
        assert not run.iteration or run.metrics.sizes["iteration"] == run.iteration
        done = [run.iteration, *map(int, re.findall(r"iteration (\d+)/", shown) if name == current else [])]
        lost = max(done) - intact
        assert lost <= INTERVAL, f"{at} lost {lost} iterations"
        tally.longest_loss = max(tally.longest_loss, lost)
    tally.places[place_of_death(runs[current], shown, now[current])] += 1
    return now


def assert_identical(path: Path, whole: Path) -> None:
    """All states, metrics and tables at `path` equal those of the uninterrupted one to the last bit."""
    for (name, at), twin in zip(runs_at(path).items(), runs_at(whole).values(), strict=True):
        one, other = ltro_jax.load_run(at), ltro_jax.load_run(twin)
        assert one.finished and other.finished
        mine, theirs = (jax.tree.leaves(run.restore(one.config.num_iterations).state) for run in (one, other))
        assert list(map(_bits, mine)) == list(map(_bits, theirs)), f"state of {name or path} differs"
        assert one.metrics.identical(other.metrics), f"metrics of {name or path} differ"
        for file in filter(
            Path.exists, (at / "metrics.nc", twin / "metrics.nc")
        ):  # the process may be killed just before it
            with xr.open_dataset(file) as opened:
                assert opened.load().drop_encoding().identical(other.metrics), f"{file} differs"
        litter = [file.name for file in at.rglob(".*") if file.name != ".lock"]
        assert not litter, f"left in {at}: {litter}"
    for table in ("table.csv", "summary.md") if is_sweep(path) else ():
        assert (path / table).read_bytes() == (whole / table).read_bytes(), f"{table} differs"


def _bits(leaf: jax.Array) -> tuple[str, tuple[int, ...], bytes]:
    is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    array = np.asarray(jax.random.key_data(leaf) if is_key else leaf)
    return str(leaf.dtype), array.shape, array.tobytes()


def stress(start: Sequence[str], whole: Path, wanted: int, seed: int) -> Tally:
    """Kill the command `start` and the commands that resume it, until `wanted` kills have hit a live process.

    Args:
        start: arguments of `ltro train` or `ltro sweep`, without --out.
        whole: directory of the uninterrupted run; the killed runs are beside it.
    """
    random_number, tally = random.Random(seed), Tally()
    live([*start, "--out", str(whole)], None)  # fills the compilation cache
    began = time.monotonic()
    assert live(["resume", str(whole)], None).code == 0
    startup = time.monotonic() - began
    while tally.kills < wanted:
        tally.rounds += 1
        path = whole.with_name(f"{whole.name}_{tally.rounds}")
        intact: dict[str, int] = {}
        while True:
            begun = (path / "sweep.json").exists() or (path / "settings.json").exists()
            arguments = ["resume", str(path)] if begun else [*start, "--out", str(path)]
            life = live(arguments, choose_moment(random_number, path, startup) if tally.kills < wanted else None)
            if not life.killed:
                assert life.code == 0, f"`ltro {' '.join(arguments)}` ended with {life.code}:\n{life.shown}"
                break
            tally.kills += 1
            intact = judge(path, life, intact, tally)
            print(f"kill {tally.kills}: intact {intact}, {dict(tally.places)}", flush=True)
        assert_identical(path, whole)
    return tally


def main() -> None:
    """Run both stress tests and print a JSON summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=54, help="of ltro train and ltro resume")
    parser.add_argument("--sweep_kills", type=int, default=6, help="of ltro sweep and its ltro resume")
    parser.add_argument("--iterations", type=int, default=240)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=Path, default=Path("runs/stress_kill"))
    parser.add_argument("--results", type=Path, default=Path("experiments/results"))
    options = parser.parse_args()
    shutil.rmtree(options.runs, ignore_errors=True)
    began = time.monotonic()

    def settings(iterations: int) -> list[str]:
        chosen = SETTINGS | {"total_env_steps": iterations * 100}
        return ["mpe/simple_spread", *(f"--{name}={value}" for name, value in chosen.items())]

    tallies = {
        "run": stress(["train", *settings(options.iterations)], options.runs / "run", options.kills, options.seed),
        "sweep": stress(
            ["sweep", *settings(options.iterations // 6), "--grid", GRID],
            options.runs / "sweep",
            options.sweep_kills,
            options.seed + 1,
        ),
    }
    summary = {
        "command": f"python experiments/stress_kill.py {' '.join(sys.argv[1:])}".strip(),
        "kills": sum(tally.kills for tally in tallies.values()),
        "checkpoint_interval": INTERVAL,
        "longest_loss": max(tally.longest_loss for tally in tallies.values()),
        "result": "every run opened after every kill; final states, metrics and tables identical to the last bit",
        **{
            name: {
                "kills": tally.kills,
                "rounds": tally.rounds,
                "where": dict(tally.places.most_common()),
                "longest_loss": tally.longest_loss,
            }
            for name, tally in tallies.items()
        },
        "seconds": round(time.monotonic() - began),
        "device": jax.devices()[0].device_kind,
        "versions": {"python": platform.python_version(), "jax": jax.__version__},
    }
    text = json.dumps(summary, indent=2)
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "stress_kill.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    try:
        main()
    except (AssertionError, ltro_jax.RunError) as violation:
        sys.exit(f"violated: {violation}")
