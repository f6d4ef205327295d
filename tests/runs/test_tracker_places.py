"""Trackers at scale and in bad places: many members, foreign addresses, symbolic links, no login, no network."""

import importlib
import logging
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from stored import made_up, stored_run

from ltro_jax import load_run
from ltro_jax.runs.trackers import Trackers, feed, track
from ltro_jax.runs.trackers.places import quiet, require_reachable
from ltro_jax.storage import MetricStore, RunDirectory, RunError

pytestmark = pytest.mark.usefixtures("shared_programs")

OURS = "ltro_jax.runs.trackers"


def fake_tracker(monkeypatch: pytest.MonkeyPatch, name: str) -> SimpleNamespace:
    """A tracker in memory in the place of `name`, which need not be installed; its `address` is the user's."""
    place = SimpleNamespace(address="", rows={})

    class Fake:
        def __init__(self, where: Any):
            self.address = place.address

        def open(self, job: Any, known: str | None) -> str:
            return job.label

        def log(self, run: str, rows: Any) -> None:
            place.rows.setdefault(run, []).extend(rows)

        def close(self, run: str, finished: bool) -> None:
            pass

    module = ModuleType(f"{OURS}.{name}")
    setattr(module, feed.CLASSES[name], Fake)
    vars(module)["ADDRESS_VARIABLE"] = "MLFLOW_TRACKING_URI"
    monkeypatch.setitem(sys.modules, f"{OURS}.{name}", module)
    monkeypatch.setattr(feed, "require_trackers", lambda names: None)
    return place


def opened(directory: RunDirectory, config: Any) -> Trackers:
    def failed(name: str, error: Exception) -> None:
        raise error

    return Trackers(directory, config, failed)


@pytest.mark.parametrize("members", [1, 64])
def test_the_state_is_written_once_for_each_piece_whatever_the_members(monkeypatch, tiny, tmp_path, members):
    fake = fake_tracker(monkeypatch, "mlflow")
    config = tiny(seeds=tuple(range(members)), tracker="mlflow")
    rows = made_up(config, 1, 10)
    directory = stored_run(tmp_path / "run", config)
    trackers = opened(directory, config)
    trackers.start(MetricStore(directory.metrics))
    written: list[str] = []
    write_json = RunDirectory.write_json
    monkeypatch.setattr(
        RunDirectory, "write_json", lambda self, name, content: (written.append(name), write_json(self, name, content))
    )
    trackers.log(rows)
    trackers.close(finished=False)
    assert written == ["trackers/mlflow.json"]  # ten iterations are one piece
    monkeypatch.setattr(feed, "PIECE", 4 * len(feed.flat_metrics(rows)))
    trackers = opened(directory, config)
    written.clear()
    MetricStore(directory.metrics).append(rows)
    MetricStore(directory.metrics).append(made_up(config, 11, 10))
    assert trackers.start(MetricStore(directory.metrics)) == {"mlflow": 10}
    assert written == ["trackers/mlflow.json"] * 4  # one for the runs, then pieces of 4, 4 and 2 iterations
    assert {label: [row.iteration for row in rows] for label, rows in fake.rows.items()} == {
        f"seed_{seed}": list(range(1, 21)) for seed in range(members)
    }
    last = rows.isel(member=members - 1, iteration=3)
    assert fake.rows[f"seed_{members - 1}"][3].metrics["agent/entropy/1"] == float(last["entropy"][1])
    assert "eval_return_greedy" not in fake.rows["seed_0"][3].metrics  # not measured there


def test_an_address_in_the_run_is_never_used(monkeypatch, tiny, tmp_path):
    fake = fake_tracker(monkeypatch, "mlflow")
    fake.address = "http://mine:5000"
    config = tiny(seeds=(3,), tracker="mlflow")
    directory = stored_run(tmp_path / "run", config, made_up(config, 1, 2))
    assert track(load_run(directory.path), ["mlflow"]) == {"mlflow": 2}
    kept = directory.read_json("trackers/mlflow.json")
    assert kept["address"] == "http://mine:5000"
    directory.write_json("trackers/mlflow.json", kept | {"address": "http://foreign"})
    with pytest.raises(RunError, match=r"at http://foreign, not at http://mine:5000; set MLFLOW_TRACKING_URI to that"):
        track(load_run(directory.path), ["mlflow"])


@pytest.mark.parametrize("link", ["trackers", "trackers/mlflow", "trackers/mlflow.json"])
def test_links_out_of_the_run_are_refused(monkeypatch, tiny, tmp_path, link):
    fake_tracker(monkeypatch, "mlflow")
    config = tiny(seeds=(3,), tracker="mlflow")
    directory = stored_run(tmp_path / "run", config, made_up(config, 1, 2))
    outside = tmp_path / "outside"
    outside.mkdir()
    (directory.path / link).parent.mkdir(exist_ok=True)
    (directory.path / link).symlink_to(outside, target_is_directory=True)
    with pytest.raises(RunError, match=rf"{link} is a symbolic link that leads out of the run; delete it"):
        track(load_run(directory.path), ["mlflow"])
    assert not any(outside.iterdir())


def test_tensorboard_follows_no_link_of_a_member(tiny, tmp_path):
    pytest.importorskip("tensorboard")
    config = tiny(seeds=(3,), tracker="tensorboard")
    directory = stored_run(tmp_path / "run", config, made_up(config, 1, 2))
    (directory.path / "trackers" / "tensorboard").mkdir(parents=True)
    (directory.path / "trackers" / "tensorboard" / "seed_3").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(RunError, match="seed_3 is a symbolic link that leads out of the run"):
        track(load_run(directory.path), ["tensorboard"])


# ---- no network, no login


@pytest.fixture
def closed_port() -> str:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return f"http://user:secret@127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ltro_jax.runs.trackers.places.getproxies", dict)


def test_an_address_is_tried_once_and_shown_without_a_password(closed_port, no_proxy, monkeypatch):
    with pytest.raises(
        RunError, match=r"^http://127\.0\.0\.1:\d+ cannot be reached \(.+\); check the network or WHERE$"
    ):
        require_reachable(closed_port, "WHERE")
    require_reachable("sqlite:///mlflow.db", "WHERE")
    with socket.create_server(("127.0.0.1", 0)) as server:
        require_reachable(f"http://127.0.0.1:{server.getsockname()[1]}", "WHERE")
    monkeypatch.setattr("ltro_jax.runs.trackers.places.CONNECT", 0.1)
    monkeypatch.setattr(socket, "create_connection", lambda *args, **kwargs: time.sleep(1) or socket.socket())
    began = time.perf_counter()
    with pytest.raises(RunError, match=r"no answer within 0\.1 s"):
        require_reachable("https://slow", "WHERE")
    assert time.perf_counter() - began < 0.9


def test_the_process_is_left_as_it_was(monkeypatch):
    monkeypatch.setenv("LTRO_TEST_SET", "mine")
    logger = logging.getLogger("ltro_test")
    with quiet({"LTRO_TEST_SET": "1", "LTRO_TEST_UNSET": "1"}, "ltro_test"):
        assert (os.environ["LTRO_TEST_SET"], os.environ["LTRO_TEST_UNSET"]) == ("mine", "1")
        assert not logger.isEnabledFor(logging.WARNING)
    assert os.environ["LTRO_TEST_SET"] == "mine" and "LTRO_TEST_UNSET" not in os.environ
    assert logger.level == logging.NOTSET


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """wandb's public functions as far as they are used, without the package."""
    state = SimpleNamespace(settings=SimpleNamespace(mode="online", base_url="", silent=False), logged_in=False)
    module = ModuleType("wandb")

    def login(prompt: bool = True, verify: bool = True) -> bool:
        assert not prompt and not verify
        return state.logged_in

    vars(module).update(setup=lambda: SimpleNamespace(settings=state.settings), login=login)
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.delitem(sys.modules, f"{OURS}.wandb", raising=False)
    yield state
    sys.modules.pop(f"{OURS}.wandb", None)


def test_wandb_is_never_asked_to_log_in(wandb, closed_port, no_proxy, tmp_path):
    wandb.settings.base_url = closed_port
    make = importlib.import_module(f"{OURS}.wandb").WandbTracker
    place = SimpleNamespace(directory=Path(tmp_path), project="p")
    with pytest.raises(RunError, match=r"not logged in; run `wandb login`, or set WANDB_MODE=offline"):
        make(place)
    wandb.logged_in = True
    with pytest.raises(RunError, match=r"cannot be reached .* check the network or WANDB_BASE_URL"):
        make(place)
    assert wandb.settings.silent is False
    wandb.settings.mode, wandb.logged_in = "offline", False
    make(place)


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """MLflow's public functions as far as they are used, without the package."""
    state = SimpleNamespace(address="", error=None, seen={})

    class MlflowException(Exception):
        pass

    class MlflowClient:
        def __init__(self, address: str):
            state.seen["address"] = address

        def get_experiment_by_name(self, name: str) -> None:
            state.seen |= {key: value for key, value in os.environ.items() if key.startswith("MLFLOW_HTTP")}
            if state.error:
                raise MlflowException(state.error)

    modules = {name: ModuleType(name) for name in ("mlflow", "mlflow.entities", "mlflow.exceptions")}
    vars(modules["mlflow"]).update(MlflowClient=MlflowClient, get_tracking_uri=lambda: state.address)
    vars(modules["mlflow.entities"]).update(Metric=tuple, Param=tuple)
    vars(modules["mlflow.exceptions"]).update(MlflowException=MlflowException)
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    for name in ("MLFLOW_HTTP_REQUEST_TIMEOUT", "MLFLOW_HTTP_REQUEST_MAX_RETRIES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delitem(sys.modules, f"{OURS}.mlflow", raising=False)
    yield state
    sys.modules.pop(f"{OURS}.mlflow", None)


def test_mlflow_that_is_away_costs_one_sentence(mlflow, closed_port, no_proxy, tmp_path, monkeypatch):
    make = importlib.import_module(f"{OURS}.mlflow").MlflowTracker
    place = SimpleNamespace(directory=Path(tmp_path), project="p")
    mlflow.address = closed_port
    with pytest.raises(RunError, match=r"cannot be reached .* check the network or MLFLOW_TRACKING_URI"):
        make(place)
    assert mlflow.seen == {}
    with socket.create_server(("127.0.0.1", 0)) as server:
        where = f"127.0.0.1:{server.getsockname()[1]}"
        mlflow.address = f"http://user:secret@{where}"
        assert make(place).address == f"http://{where}"
        assert mlflow.seen == {
            "address": mlflow.address,
            "MLFLOW_HTTP_REQUEST_TIMEOUT": "2",
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        }
        assert not any(name.startswith("MLFLOW_HTTP") for name in os.environ)
        mlflow.error = f"request to {mlflow.address}/api failed"
        with pytest.raises(
            RunError, match=rf"^MLflow at http://{where} rejects the request: request to http://{where}/api failed$"
        ):
            make(place)
    mlflow.error, mlflow.address = None, "sqlite:///mlflow.db"
    monkeypatch.chdir(tmp_path)
    assert make(place).address == f"sqlite:///{tmp_path}/mlflow.db"  # another working directory is another address
