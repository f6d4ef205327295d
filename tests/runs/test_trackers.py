"""Trackers get every value once, whatever happens to the processes; each package reads its data back."""

# the packages are extras
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

import importlib
import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from stored import made_up, stored_run

from ltro_jax import Config, SettingsError, load_run, resume, sweep, train
from ltro_jax.cli import main
from ltro_jax.runs.trackers import Trackers, feed, track
from ltro_jax.storage import MetricStore, RunDirectory, RunError

pytestmark = pytest.mark.usefixtures("shared_programs")

host_loop: Any = importlib.import_module("ltro_jax.runs.train")  # the package's `train` is the function
Curves = dict[str, dict[str, list[tuple[int, float]]]]  # tracker run → metric → steps and values, as logged


def expected(config: Config, rows: xr.Dataset) -> Curves:
    """By the documented names, from the dataset alone."""
    curves: Curves = {}
    for index, member in enumerate(config.members):
        curve = curves.setdefault(f"seed_{member.seed}", {})
        for name, values in rows.isel(member=index).data_vars.items():
            for axis in values.dims:
                assert axis in ("iteration", "position", "agent")
            columns = {str(name): values}
            if len(values.dims) == 2:
                axis = str(values.dims[1])
                columns = {f"{axis}/{name}/{at}": values.isel({axis: at}) for at in range(values.sizes[axis])}
            for key, column in columns.items():
                pairs = zip(rows["env_steps"].values.tolist(), column.values.astype(float).tolist(), strict=True)
                curve[key] = [(step, value) for step, value in pairs if not np.isnan(value)]
    return {run: {name: points for name, points in curve.items() if points} for run, curve in curves.items()}


# ---- reading back


def from_tensorboard(directory: RunDirectory) -> Curves:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    curves: Curves = {}
    for place in sorted((directory.path / "trackers" / "tensorboard").iterdir()):
        events = EventAccumulator(str(place), {"scalars": 0}, purge_orphaned_data=False).Reload()
        tags = events.Tags()["scalars"]
        curves[place.name] = {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in tags}
    return curves


def from_mlflow(directory: RunDirectory) -> Curves:
    from mlflow import MlflowClient

    kept = directory.read_json("trackers/mlflow.json")
    client = MlflowClient(kept["address"])
    curves: Curves = {}
    for label, run in kept["runs"].items():
        names = client.get_run(run["id"]).data.metrics
        histories = {name: client.get_metric_history(run["id"], name) for name in names}
        curves[label] = {name: [(metric.step, metric.value) for metric in found] for name, found in histories.items()}
    return curves


def from_wandb(directory: RunDirectory) -> Curves:
    labels = {run["id"]: label for label, run in directory.read_json("trackers/wandb.json")["runs"].items()}
    curves: Curves = {}
    for file in sorted((directory.path / "trackers" / "wandb").glob("offline-run-*/*.wandb")):
        curve = curves.setdefault(labels[file.stem.removeprefix("run-")], {})
        for record in wandb_records(file):
            for item in record.history.item:
                name = item.key or ".".join(item.nested_key)
                if not name.startswith("_"):
                    curve.setdefault(name, []).append((record.history.step.num, float(json.loads(item.value_json))))
    return curves


def wandb_records(file: Path) -> list[Any]:
    """Once wandb's own process has written the last one."""
    from wandb.proto.wandb_internal_pb2 import Record

    for _ in range(100):
        records = [Record.FromString(data) for data in blocks(file.read_bytes())]
        if any(record.WhichOneof("record_type") == "exit" for record in records):
            return records
        time.sleep(0.1)
    raise TimeoutError(f"{file} has no end")


def blocks(data: bytes) -> Iterator[bytes]:
    """The records of an offline file: after 7 bytes, a log in the format of LevelDB with blocks of 32 KiB."""
    at, record = 7, b""
    while at + 7 <= len(data):
        room = 32768 - at % 32768
        if room < 7:
            at += room
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        record += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield record
            record = b""


READERS = {"tensorboard": from_tensorboard, "mlflow": from_mlflow, "wandb": from_wandb}
NEEDED = {"tensorboard": "tensorboard", "mlflow": "sqlalchemy", "wandb": "wandb"}


@pytest.fixture(params=READERS)
def name(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each tracker that is installed, kept away from the network."""
    pytest.importorskip(NEEDED[request.param])
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_X_DISABLE_STATS", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    return request.param


def process(directory: RunDirectory, config: Config, failures: list[str] | None = None) -> Trackers:
    """As a new process makes them."""

    def failed(name: str, error: Exception) -> None:
        if failures is None:
            raise error
        failures.append(f"{name}: {error}")

    return Trackers(directory, config, failed)


def same(found: Curves, wanted: Curves) -> None:
    """To the last digit of float32, and every step once."""
    assert {run: set(curve) for run, curve in found.items()} == {run: set(curve) for run, curve in wanted.items()}
    for run, curve in wanted.items():
        for metric, points in curve.items():
            assert sorted(found[run][metric]) == points, (run, metric)


# ---- the tests


def test_every_number_once(name, tiny, tmp_path):
    """Stopped after 4 iterations, two more stored but not sent, then an older checkpoint: 5 and 6 are done again."""
    config = tiny(seeds=(3, 7), tracker=name)
    first, stored, redone = made_up(config, 1, 4), made_up(config, 5, 2), made_up(config, 5, 4, seed=1, frozen=1)
    directory = stored_run(tmp_path / "run", config)
    store = MetricStore(directory.metrics)
    one = process(directory, config)
    assert one.start(store) == {name: 0}
    store.append(first)
    one.log(first)
    one.close(finished=False)

    store.append(stored)
    other = process(directory, config)
    assert other.start(store) == {name: 2}
    store.truncate(4)
    store.append(redone)
    other.log(redone)
    other.close(finished=True)

    wanted = xr.concat([first, stored, redone.isel(iteration=slice(2, None))], "iteration", data_vars="minimal")
    same(READERS[name](directory), expected(config, wanted))
    assert track(load_run(directory.path), [name]) == {name: 0}  # it has all


def test_one_run_for_all_members_after_the_fact(name, tiny, tmp_path):
    config = tiny(seeds=(3, 7), grid="actor_lr=0.001,0.1")
    rows = made_up(config, 1, 3)
    directory = stored_run(tmp_path / "run", config, rows)
    assert track(load_run(directory.path), [name], group="one_run") == {name: 3}
    (curve,) = READERS[name](directory).values()
    members = ["actor_lr_0.001-seed_3", "actor_lr_0.001-seed_7", "actor_lr_0.1-seed_3", "actor_lr_0.1-seed_7"]
    assert {metric.split("/")[0] for metric in curve} == set(members)
    entropy = rows["entropy"].values[2, :, 1]
    assert sorted(curve["actor_lr_0.1-seed_3/agent/entropy/1"]) == list(
        zip((32, 64, 96), entropy.tolist(), strict=True)
    )
    with pytest.raises(
        RunError, match=r"tracker_group = per_member is not what this run was first tracked with \(one_"
    ):
        track(load_run(directory.path), [name])


def test_members_that_six_digits_do_not_tell_apart(name, tiny, tmp_path):
    config = tiny(seeds=(3,), grid="gamma=0.9999999,1")
    rows = made_up(config, 1, 1)
    directory = stored_run(tmp_path / "run", config, rows)
    assert track(load_run(directory.path), [name]) == {name: 1}
    assert len(READERS[name](directory)) == 2
    kept = json.loads((directory.path / "trackers" / f"{name}.json").read_text())["runs"]
    assert list(kept) == ["gamma_0.9999999-seed_3", "gamma_1-seed_3"]


class Flaky:
    """A tracker in memory whose service is away now and then."""

    sent: dict[str, list[int]]
    calls_left: int

    def __init__(self, place: Any):
        self.address = "memory"

    def open(self, job: Any, known: str | None) -> str:
        assert known in (None, job.label)
        return job.label

    def log(self, run: str, rows: Any) -> None:
        if Flaky.calls_left == 0:
            raise ConnectionError("no route\n to host")
        Flaky.calls_left -= 1
        Flaky.sent.setdefault(run, []).extend(row.iteration for row in rows)

    def close(self, run: str, finished: bool) -> None:
        pass


@pytest.fixture
def flaky(monkeypatch: pytest.MonkeyPatch) -> type[Flaky]:
    """In the place of TensorBoard."""
    module = pytest.importorskip("ltro_jax.runs.trackers.tensorboard")
    monkeypatch.setattr(module, "TensorBoardTracker", Flaky)
    monkeypatch.setattr(feed, "PIECE", 10)  # one row at a time
    Flaky.sent, Flaky.calls_left = {}, 1000
    return Flaky


def test_a_failing_tracker_is_left_out_and_caught_up_later(flaky, tiny, tmp_path):
    config = tiny(seeds=(3, 7), tracker="tensorboard")
    chunks = [made_up(config, first, 2) for first in (1, 3, 5)]
    directory = stored_run(tmp_path / "run", config, *chunks)
    failures: list[str] = []
    trackers = process(directory, config, failures)
    assert trackers.start(MetricStore(directory.metrics)) == {"tensorboard": 6}
    flaky.calls_left = 3
    for first in (7, 9):
        rows = made_up(config, first, 2)
        MetricStore(directory.metrics).append(rows)
        trackers.log(rows)
    trackers.close(finished=True)
    assert failures == ["tensorboard: no route\n to host"]
    assert flaky.sent == {"seed_3": list(range(1, 9)), "seed_7": list(range(1, 8))}
    with pytest.raises(RunError, match=r"^tracker tensorboard failed: no route to host$"):
        track(load_run(directory.path), ["tensorboard"])
    flaky.calls_left = 1000
    track(load_run(directory.path), ["tensorboard"])
    assert flaky.sent == {"seed_3": list(range(1, 11)), "seed_7": list(range(1, 11))}


def test_a_kill_while_rows_are_sent_repeats_none(flaky, tiny, tmp_path, monkeypatch):
    """The piece that was under way, here one row, counts as sent."""
    config = tiny(seeds=(3,), tracker="tensorboard")
    directory = stored_run(tmp_path / "run", config, made_up(config, 1, 2))

    def killed(self: Any, run: str, rows: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Flaky, "log", killed)
        with pytest.raises(KeyboardInterrupt):
            process(directory, config).start(MetricStore(directory.metrics))
    MetricStore(directory.metrics).append(made_up(config, 3, 1))
    assert process(directory, config).start(MetricStore(directory.metrics)) == {"tensorboard": 2}
    assert flaky.sent == {"seed_3": [2, 3]}


def test_a_killed_run_goes_on_in_the_same_tracker_runs(flaky, settings, tmp_path, monkeypatch):
    """Killed between the metrics and the checkpoint of iteration 8, which are made again."""

    def dying_save(directory: Path, at: int, *rest: Any) -> None:
        if at == 8:
            raise KeyboardInterrupt
        save(directory, at, *rest)

    config, save = settings.replace(tracker="tensorboard"), host_loop.save_checkpoint
    with monkeypatch.context() as patch:
        patch.setattr(host_loop, "save_checkpoint", dying_save)
        with pytest.raises(KeyboardInterrupt):
            train(config, tmp_path / "run", progress=False)
    assert flaky.sent == {"seed_3": [1, 2, 3, 4], "seed_7": [1, 2, 3, 4]}
    assert resume(tmp_path / "run", progress=False).finished
    assert flaky.sent == {"seed_3": list(range(1, 9)), "seed_7": list(range(1, 9))}


def test_training_goes_on_without_a_tracker_that_fails(flaky, settings, tmp_path, capfd):
    flaky.calls_left, path = 6, tmp_path / "run"
    run = train(settings.replace(tracker="tensorboard"), path, progress=False)
    assert run.finished and run.metrics.sizes["iteration"] == 8
    said, warned = capfd.readouterr()
    assert said == "" and warned == (
        "ltro: tracker tensorboard failed (no route to host) and receives no more rows; training continues; "
        f"send the missing rows with `ltro track {path} --tracker tensorboard`\n"
    )
    flaky.calls_left = 1000
    assert main(["track", str(path), "--tracker", "tensorboard"]) == 0
    assert capfd.readouterr().out == f"{path}: 5 iterations sent to tensorboard, which has all 8\n"
    assert flaky.sent == {"seed_3": list(range(1, 9)), "seed_7": list(range(1, 9))}


def test_a_missing_package_is_named_before_anything_is_done(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    sentence = r"tracker = mlflow needs the extra 'trackers', .* pip install -c constraints.txt -e '.\[trackers\]'"
    with pytest.raises(SettingsError, match=sentence):
        train(tiny(tracker="mlflow"), tmp_path / "run", progress=False)
    with pytest.raises(SettingsError, match=sentence):
        sweep(tiny(tracker="mlflow"), {}, tmp_path / "sweep", progress=False)
    assert not any(tmp_path.iterdir())
    directory = stored_run(tmp_path / "run", tiny(tracker="mlflow"), made_up(tiny(), 1, 1))
    for open_it in (resume, lambda path: track(load_run(path), ["mlflow"])):
        with pytest.raises(SettingsError, match=sentence):
            open_it(directory.path)
