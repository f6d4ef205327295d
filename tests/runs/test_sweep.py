"""Sweeps: what is planned, that members do not feel each other, memory that runs out, devices and processes."""

import csv
import importlib
import os
import resource
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparing import assert_same_bits

from ltro_jax import Config, RunError, SettingsError, load_policy, load_preset, load_run, train
from ltro_jax.config.families import ProbeOptions
from ltro_jax.parallel import member_layout
from ltro_jax.runs.memory import ProgramMemory, fitting_group, process_memory
from ltro_jax.runs.sweep import load_sweep, plan, resume_sweep, sweep
from ltro_jax.runs.sweep_results import member_rows, summary, summary_markdown, write_tables

pytestmark = pytest.mark.usefixtures("shared_programs")

host_loop: Any = importlib.import_module("ltro_jax.runs.train")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def swept(tiny, tmp_path_factory):
    """Two learning rates × two seeds."""
    path = tmp_path_factory.mktemp("sweeps") / "sweep"
    return sweep(tiny(seeds=(3, 7)), {"actor_lr": [1e-3, 1e-2]}, path, progress=False)


def test_static_settings_are_runs_and_hyper_parameters_members(tiny):
    config = tiny(seeds=(1, 2, 5))
    grid = {"hidden_sizes": ["8", "4,4"], "actor_lr": ["1e-3", "1e-2"], "algorithm": ["happo", "clip_happo"]}
    configs = plan(config, grid)
    assert list(configs) == [
        f"hidden_sizes={sizes}-algorithm={name}" for sizes in ("8", "4,4") for name in ("happo", "clip_happo")
    ]
    part = configs["hidden_sizes=4,4-algorithm=happo"]
    assert part.static.hidden_sizes == (4, 4) and np.isinf(part.hypers.factor_clip)
    assert [(member.seed, member.hypers.actor_lr) for member in part.members] == [
        (seed, lr) for lr in (1e-3, 1e-2) for seed in (1, 2, 5)
    ]
    shares = plan(config, {}, num_processes=2)
    assert {name: part.run.seeds for name, part in shares.items()} == {"all/share=1of2": (1, 5), "all/share=2of2": (2,)}
    assert len(plan(config, {}, num_processes=8)) == 3


def test_another_algorithm_or_task_brings_its_preset_but_never_over_a_choice():
    parts = plan(load_preset("smax/3m", seeds="0:2"), {"algorithm": ["clip_happo", "hatrpo"]})
    assert parts["algorithm=hatrpo"] == load_preset("smax/3m", "hatrpo", seeds="0:2")
    hatrpo = parts["algorithm=hatrpo"]
    assert hatrpo.static.hidden_sizes == (128, 128, 128) and hatrpo.hypers.kl_threshold == 0.005
    assert parts["algorithm=clip_happo"].static.hidden_sizes == (64, 64, 64)

    config = load_preset("mpe/simple_spread", factor_clip=2, hidden_sizes="128,128")  # as the preset's own, but chosen
    parts = plan(config, {"task": ["smax/3m", "probe/matching"], "algorithm": ["happo"], "actor_lr": [0.1]})
    part = parts["task=smax_3m-algorithm=happo"]
    assert part == load_preset("smax/3m", "happo", factor_clip=2, hidden_sizes="128,128", grid={"actor_lr": [0.1]})
    other = parts["task=probe_matching-algorithm=happo"]
    assert (other.hypers.factor_clip, other.static.options) == (2.0, ProbeOptions())

    stored = Config.stored(load_preset("mpe/simple_spread", num_envs=4, total_env_steps=99).to_dict())
    part = plan(stored, {"algorithm": ["hatrpo"]})["algorithm=hatrpo"]  # a run from disk keeps what is not its preset's
    assert (part.static.num_envs, part.run.total_env_steps, part.hypers.kl_threshold) == (4, 99, 0.005)


def test_what_no_part_reads_is_refused_before_anything_is_made(tiny, tmp_path):
    for config, grid, sentence in (
        (
            tiny(algorithm="hatrpo"),
            {"actor_lr": [1e-3, 1e-2], "ent_coef": [0, 0.1]},
            "actor_lr=… has no meaning",
        ),
        (tiny(actor_lr=1e-3), {"algorithm": ["happo", "hatrpo"]}, "actor_lr = 0.001 has no .*'hatrpo'"),
    ):
        with pytest.raises(SettingsError, match=sentence):
            sweep(config, grid, tmp_path / "sweep", progress=False)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "grid, sentence",
    [
        ({"num_envs": ["4", 4.0]}, "grid = num_envs=4,4 repeats a value"),
        ({"algorithm": "happo"}, "grid = algorithm='happo' is not a sequence of values"),
        ({"num_envs": []}, r"grid = num_envs=\[\] is not a sequence of values; give at least one"),
        ({"seeds": [1]}, "grid = seeds=… cannot be swept"),
        ({"actor": [1]}, "grid = actor=… cannot be swept"),
        ({"actor_lr": [-1.0]}, "actor_lr = .* must be greater than 0"),
        ({"actor_lr": [1e-3, 1e-3]}, "repeats a value"),
        ({"hidden_sizes": ["8", "8"]}, "repeats a value"),
        ({"num_envs": ["three"]}, "num_envs = 'three' is not a whole number"),
    ],
)
def test_what_cannot_be_swept(tiny, grid, sentence, tmp_path):
    with pytest.raises(SettingsError, match=sentence):
        sweep(tiny(), grid, tmp_path / "sweep", progress=False)
    assert not (tmp_path / "sweep").exists()


def test_a_member_does_not_feel_the_others(tiny, tmp_path, full_compilation):
    """On a CPU to the last bit: state and metrics of a point and seed are those of a run of it alone."""
    swept = sweep(tiny(seeds=(3, 7)), {"actor_lr": [1e-3, 2e-2]}, tmp_path / "sweep", progress=False)
    (run,) = swept.runs.values()
    assert swept.finished and run.metrics["actor_lr"].values.tolist() == [1e-3, 1e-3, 2e-2, 2e-2]
    alone = train(tiny(seeds=(7,), actor_lr=2e-2), tmp_path / "alone", progress=False)
    index = run.member(7, {"actor_lr": 2e-2})
    assert index == 3
    everyone = run.restore().state
    assert_same_bits(jax.tree.map(lambda leaf: leaf[index : index + 1], everyone), alone.restore().state)
    for name in alone.metrics.data_vars:
        np.testing.assert_array_equal(run.metrics[name].values[index], alone.metrics[name].values[0])
    (params,) = (load_policy(run.path, 7, point={"actor_lr": 2e-2}).params,)
    assert_same_bits(params, load_policy(alone.path, 7).params)
    assert set(run.by_point()) == {"actor_lr=0.001", "actor_lr=0.02"}
    with pytest.raises(RunError, match=r"is not one of the grid of .*actor_lr=0\.001; actor_lr=0\.02"):
        load_policy(run.path, 7)


def test_tables(swept):
    rows = member_rows(swept, "episode_return")
    assert [(row["point"], row["seed"], row["frozen_at"]) for row in rows] == [
        (f"actor_lr={lr}", seed, -1) for lr in (0.001, 0.01) for seed in (3, 7)
    ]
    (run,) = swept.runs.values()
    returns = run.metrics["episode_return"].values
    np.testing.assert_allclose([row["score"] for row in rows], returns[:, -1:].mean(1))  # a fifth of 8: one
    np.testing.assert_allclose([row["highest"] for row in rows], np.nanmax(returns, 1))
    ranking = summary(rows)
    assert [row["score"] for row in ranking] == sorted((row["score"] for row in ranking), reverse=True)
    assert ranking[0]["seeds"] == 2 and ranking[0]["low"] <= ranking[0]["score"] <= ranking[0]["high"]
    assert "actor_lr=0.01" in write_tables(swept) and (swept.path / "table.csv").exists()
    with pytest.raises(SettingsError, match="metric = 'kl' is unknown"):
        member_rows(swept, "kl")


def test_frozen_members_are_counted_and_not_averaged():
    row = {"part": "all", "point": "", "seed": 0, "score": 1.0, "frozen_at": -1}
    (found,) = summary([row, row | {"seed": 1, "score": 3.0}, row | {"seed": 2, "score": float("nan"), "frozen_at": 4}])
    assert (found["seeds"], found["frozen"], found["score"]) == (2, 1, 2.0)


def test_the_same_sweep_goes_on_and_another_is_refused(swept, tiny):
    again = sweep(tiny(seeds=(3, 7)), {"actor_lr": [1e-3, 1e-2]}, swept.path, progress=False)
    assert again.finished and load_sweep(swept.path).configs == swept.configs
    with pytest.raises(RunError, match="holds a sweep with other settings"):
        sweep(tiny(seeds=(3, 7)), {"actor_lr": [1e-3]}, swept.path, progress=False)
    with pytest.raises(RunError, match="is not a sweep"):
        resume_sweep(swept.path / "all")


# ---- memory


@pytest.mark.parametrize(
    "content, sentence",
    [
        ("{", "is damaged"),
        ('{"parts": {}}', "it has no format_version"),
        ('{"format_version": 99, "parts": {}}', "was written by a newer ltro_jax .format 99"),
        ('{"format_version": 1, "parts": {"all": {"hidden_sizes": 0}}}', "is damaged"),
        ('{"format_version": 1, "parts": {"all": 3}}', "is damaged"),
        *(
            (f'{{"format_version": 1, "parts": {{"{name}": {{}}}}}}', "is damaged .* does not name a directory of the")
            for name in ("../../x", "/x", "a/../b", "a//b", "..", "", "C:x", "C:/x", "a/b/c", r"..\\x", r"a\u0000")
        ),
    ],
)
def test_sweeps_that_cannot_be_read(content, sentence, tmp_path):
    (tmp_path / "sweep.json").write_text(content)
    with pytest.raises(RunError, match=sentence):
        load_sweep(tmp_path)


def test_groups_are_as_large_as_the_memory_allows():
    assert fitting_group(ProgramMemory(states=100, working=800), at_once=8, available=1000) == 8
    assert fitting_group(ProgramMemory(states=100, working=1600), at_once=8, available=1000) == 4
    assert fitting_group(ProgramMemory(states=100, working=910), at_once=8, available=1000) == 7
    assert fitting_group(ProgramMemory(states=2000, working=80), at_once=8, available=1000) == 1


@pytest.mark.parametrize(
    "membership, files, limit",
    [
        ("0::/job/step", {"job/step/memory.max": "max", "job/memory.max": "4096"}, 4096),
        ("0::/job", {"job/memory.max": "8192", "memory.max": "4096"}, 4096),
        ("0::/docker/abc", {"memory.max": "4096"}, 4096),  # a container that sees its own group as the root
        ("0::/../other", {"memory.max": "4096"}, 4096),
        ("5:cpu,memory:/job", {"memory/job/memory.limit_in_bytes": "4096"}, 4096),
        ("5:memory:/docker/abc", {"memory/memory.limit_in_bytes": "4096"}, 4096),
        ("5:memory:/", {"memory/memory.limit_in_bytes": "9223372036854771712"}, None),
        ("0::/", {"memory.max": "max"}, None),
        ("5:cpu:/job", {"job/memory.max": "4096"}, None),
        (None, {}, None),
    ],
)
def test_a_container_has_the_memory_of_its_control_group(membership, files, limit, tmp_path):
    if membership:
        (tmp_path / "proc" / "self").mkdir(parents=True)
        (tmp_path / "proc" / "self" / "cgroup").write_text(f"12:pids:/x\n{membership}\n")
    for name, text in files.items():
        file = tmp_path / "sys" / "fs" / "cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert process_memory(tmp_path) == (limit or machine)


def test_a_limit_of_the_shell_counts(monkeypatch, tmp_path):
    monkeypatch.setattr(resource, "getrlimit", lambda what: (4096, resource.RLIM_INFINITY))
    assert process_memory(tmp_path) == 4096
    monkeypatch.setattr(resource, "getrlimit", lambda what: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert process_memory(tmp_path) > 4096


def test_running_out_of_memory_halves_the_group(tiny, tmp_path, monkeypatch, capsys):
    """The first call with more than two members at once fails; the run resumes from its checkpoint and says so."""
    config: Config = tiny(seeds=(1, 2, 3, 4, 5), members_at_once=5, eval_episodes=0)
    make, failed = host_loop.make_member_program, []

    def small_memory(program: Any, num_members: int, layout: Any) -> Any:
        members = make(program, num_members, layout)

        class Compiled:
            def __init__(self, compiled: Any):
                self.compiled, self.memory_analysis = compiled, compiled.memory_analysis

            def __call__(self, states: Any, hypers: Any, count: Any) -> Any:
                if layout.at_once > 2 and int(states.iteration[0]) >= 4:
                    failed.append(layout.at_once)
                    raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate")
                return self.compiled(states, hypers, count)

        class Advance:
            def lower(self, *arguments: Any) -> Any:
                lowered = members.advance.lower(*arguments)
                return type("Lowered", (), {"compile": lambda self: Compiled(lowered.compile())})()

        return members._replace(advance=Advance())

    monkeypatch.setattr(host_loop, "make_member_program", small_memory)
    run = train(config, tmp_path / "run")
    said = capsys.readouterr().out
    assert failed == [5] and run.finished
    assert "out of memory with 5 members at once; continuing with 2" in said
    assert run.metrics["iteration"].values.tolist() == list(range(1, 9))
    assert run.metrics["finite"].all() and len(np.unique(run.metrics["value_loss"][:, -1])) == 5


# ---- devices and processes

ALONE = "from jax.experimental import multihost_utils as m; m.process_allgather = m.sync_global_devices = None; "
COMMAND = "import sys; from ltro_jax.cli import main; sys.exit(main())"


def options_of(config: Config) -> list[str]:
    """The settings that differ from the defaults, as options."""
    texts = {
        name: ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        for name, value in config.to_dict().items()
        if value != Config().to_dict()[name] and name != "task"
    }
    return [f"--{name}={text}" for name, text in texts.items()]


def start(arguments: list[str], num_devices: int = 1, before: str = "") -> subprocess.Popen:
    """`ltro …` in a separate process with that many CPU devices, compiled lightly like the programs of the tests."""
    environment = os.environ | {
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={num_devices}",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.Popen(
        [sys.executable, "-c", before + COMMAND, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def ended(*processes: subprocess.Popen) -> None:
    """Wait for all; none may have failed."""
    for process in processes:
        said, complained = process.communicate(timeout=600)
        assert process.returncode == 0, complained.decode() + said.decode()


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path / "table.csv", newline="") as file:
        return sorted(csv.DictReader(file), key=lambda row: (row["actor_lr"], row["seed"]))


def test_two_processes_do_what_one_does(swept, tiny, tmp_path):
    """Each trains its share of the seeds on its own device; process 0 merges the tables. Bitwise equal.

    They wait for each other without a collective of the devices, which would give up after half an hour.
    """
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    config: Config = tiny(seeds=(3, 7))
    command = ["sweep", config.static.task, "--grid", "actor_lr=1e-3,1e-2", f"--out={tmp_path / 'both'}", "--quiet"]
    joined = ["--coordinator", f"localhost:{port}", "--num_processes=2"]
    ended(*(start([*command, *options_of(config), *joined, f"--process_id={index}"], 1, ALONE) for index in range(2)))
    both = load_sweep(tmp_path / "both")
    assert both.finished and [part.run.seeds for part in both.configs.values()] == [(3,), (7,)]
    write_tables(swept)
    assert rows_of(both.path) == rows_of(swept.path)
    (whole,) = swept.runs.values()
    for run in both.runs.values():
        own = [whole.member(run.config.run.seeds[0], point) for point in run.config.points]
        assert_same_bits(
            run.restore().state, jax.tree.map(lambda leaf, at=own: leaf[np.array(at)], whole.restore().state)
        )


def test_eight_devices_and_one_take_turns(tiny, tmp_path):
    """Three uneven members: half of the run on eight devices and half on one, either way round, is the same run."""
    config: Config = tiny(seeds=(3, 7, 8), eval_episodes=0)
    half = config.replace(total_env_steps=config.run.total_env_steps // 2)
    settings, paths = {}, {}
    for first in (8, 1):
        paths[first] = tmp_path / f"from{first}"
        ended(start(["train", config.static.task, f"--out={paths[first]}", "--quiet", *options_of(half)], first))
        settings[first] = paths[first] / "settings.json"
        run = load_run(paths[first])
        run.directory.write_json("settings.json", config.to_dict())  # as if it had been meant to go on
        (paths[first] / "metrics.nc").unlink()
    ended(*(start(["resume", str(paths[first]), "--quiet"], 9 - first) for first in (8, 1)))
    one, other = (load_run(path) for path in paths.values())
    assert one.finished and one.directory.environment["devices"]["count"] == 8
    assert_same_bits(one.restore().state, other.restore().state)


def test_groups_of_members_are_the_members(tiny):
    """Two at a time on one device, the last group filled up: what vmap of each gives."""
    from ltro_jax import make_train
    from ltro_jax.parallel import make_member_program, stack_members

    config = tiny(seeds=(3, 7, 8), eval_episodes=0)
    train_program = make_train(config)
    layout = member_layout(3, jax.local_devices()[:1], at_once=2)
    assert (layout.num_rows, layout.at_once) == (4, 2)

    def run(layout: Any) -> Any:
        members = make_member_program(train_program, 3, layout)
        seeds, hypers = members.place(stack_members(config.members))
        return members.collect(members.advance(members.init(seeds, hypers), hypers, jnp.int32(1))[1])

    pairs, turns = run(layout), run(member_layout(3, jax.local_devices()[:1]))
    assert pairs.scalar["reward"].shape[0] == 3
    np.testing.assert_allclose(pairs.scalar["reward"], turns.scalar["reward"], rtol=1e-5, atol=1e-6)
    assert_same_bits(pairs.position["agent_order"], turns.position["agent_order"])


def test_one_seed_has_no_interval():
    row = {"part": "all", "point": "c=1", "seed": 3, "frozen_at": -1, "score": 0.5}
    assert summary_markdown(summary([row])).splitlines()[-1] == "| all | c=1 | 1 | 0 | 0.5 | – |"
