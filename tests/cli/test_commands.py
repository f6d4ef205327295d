"""Each command does what its help says."""

import html
import json
import shutil
import sys
from typing import Any

import jax
import numpy as np
import pytest
from comparing import assert_same_run
from matplotlib.figure import Figure

from ltro_jax import Policy, list_presets, load_policy, load_run, plot
from ltro_jax.algorithms import ALGORITHMS
from ltro_jax.cli import main
from ltro_jax.config import SETTINGS
from ltro_jax.envs import list_tasks
from ltro_jax.envs.scenes import ParticleScene
from ltro_jax.export.episodes import Episode
from ltro_jax.storage import MetricStore

pytestmark = pytest.mark.usefixtures("shared_programs")

HELP = {
    "train": ["PRESET", "--out", "--quiet", "--compilation_cache", "--seeds", "A:B", "example: ltro train mpe/"],
    "resume": ["RUN", "--quiet", "newest intact checkpoint", "bit for bit"],
    "status": ["RUN", "--metric", "--json", "--watch"],
    "tail": ["RUN", "--metric", "--follow", "example: ltro tail "],
    "export": ["RUN", "marl-eval", "parquet", "netcdf", "example: ltro export "],
    "track": ["RUN", "--tracker", "tensorboard", "per_member or one_run", "example: ltro track "],
    "eval": ["RUN", "--episodes", "greedy", "evaluation.json", "--best", "--json", "absolute metric"],
    "render": ["RUN", "--seed", "--episodes", "--sampled", "--best", "--fps", "example: ltro render "],
    "export-policy": ["RUN", "--seed", "safetensors", "example: ltro export-policy "],
    "plot": ["RUN", "--metric", "--smoothing", "--output", ".png"],
    "report": ["RUN", "--metric", "--out", "Markdown", "example: ltro report "],
    "presets": ["PRESET", "--algorithm"],
    "envs": ["agents", "episode length"],
    "report-bug": ["RUN", "Markdown", "example: ltro report-bug "],
    "theory": ["--studies", "--games", "Nash gap", "example: ltro theory "],
}


def help_text(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    with pytest.raises(SystemExit) as exit_:
        main([*command, "--help"])
    output = capsys.readouterr()
    assert exit_.value.code == 0 and output.err == ""
    return output.out


def test_help_lists_the_commands(capsys):
    text = help_text(capsys)
    assert text.startswith("usage: ltro ") and all(f"\n    {command}" in text for command in HELP)
    assert all(f"\n  {code} " in text for code in (0, 1, 2, 130))


@pytest.mark.parametrize("command", HELP)
def test_help_of_each_command(command, capsys):
    text = help_text(capsys, command)
    assert text.startswith(f"usage: ltro {command} ") and all(word in text for word in HELP[command])


def test_help_explains_every_setting(capsys):
    text = " ".join(help_text(capsys, "train").split())
    for name, spec in SETTINGS.items():
        if name != "task":
            assert f"--{name}" in text and spec.metadata["help"] in text
            assert all(choice in text for choice in spec.metadata.get("choices", ()))
    assert "options of mpe/… (a change recompiles): --team_reward VALUE" in text
    assert "options of mabrax/…, mamujoco/… and swimmer/… (a change recompiles): --backend VALUE" in text
    assert (
        "mabrax: physics engine of Brax: generalized, mjx, spring or positional (default generalized); mamujoco: "
        in text
    )


def test_train(trained, capsys, options):
    capsys.readouterr()
    run = load_run(trained)
    assert run.finished and run.config.run.seeds == (3, 7) and run.config.static.task == "probe/matching"
    assert run.directory.environment["command"]
    assert main(["train", "probe/matching", "--out", str(trained), *options]) == 2
    assert "already exists; resume it with `ltro resume" in capsys.readouterr().err


def test_quiet_prints_nothing(trained, capfd):
    assert main(["resume", str(trained), "--quiet"]) == 0
    assert capfd.readouterr() == ("", "")


def test_resume(trained, capsys):
    assert main(["resume", str(trained)]) == 0
    assert capsys.readouterr().out.endswith(f"{trained} is finished: 8 iterations\n")
    assert main(["resume", str(trained), "--progress", "json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[-1] == {"event": "message", "text": f"{trained} is finished: 8 iterations"}


def test_eval_prints_a_table_and_keeps_it(trained, capsys):
    assert main(["eval", str(trained), "--episodes", "20"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("clip_happo on probe/matching, iteration 8, 20 episodes; return = team reward (shared) ")
    assert lines[1].split() == ["seed", "greedy", "sampled"]
    kept = json.loads((trained / "evaluation.json").read_text())
    assert kept["seed"] == [3, 7] and kept["episodes"] == 20 and kept["iteration"] == 8
    assert [line.split() for line in lines[2:4]] == [
        [str(seed), f"{greedy:.2f}", f"{sampled:.2f}"]
        for seed, greedy, sampled in zip(
            kept["seed"], kept["eval_return_greedy"], kept["eval_return_sampled"], strict=True
        )
    ]
    assert lines[4].split()[:2] == ["mean", f"{np.mean(kept['eval_return_greedy']):.2f}"]


def test_eval_of_the_best_as_json(trained, tmp_path, capsys):
    """Ten times `eval_episodes`, with the interquartile mean and its interval; a file has the same as the screen."""
    (trained / "evaluation_best.json").unlink(missing_ok=True)
    capsys.readouterr()
    command = ["eval", str(trained), "--best", "--actions", "greedy", "--json"]
    assert main([*command, "-"]) == 0
    text = capsys.readouterr().out
    report, (summary,) = json.loads(text), json.loads(text)["summary"]
    assert report["episodes"] == 10 * report["settings"]["eval_episodes"] == 40 and report["actors"] == "best"
    best = load_run(trained).restore().state.best
    assert report["seed"] == [3, 7] and report["best_iteration"] == best.iteration.tolist()
    assert "eval_return_sampled" not in report and len(report["eval_return_greedy"]) == summary["members"] == 2
    estimate, values = summary["eval_return_greedy"], report["eval_return_greedy"]
    assert estimate["iqm"] == pytest.approx(np.mean(values)) and estimate["low"] <= estimate["iqm"] <= estimate["high"]
    assert main([*command, str(tmp_path / "report.json")]) == 0
    assert (tmp_path / "report.json").read_text() == (trained / "evaluation_best.json").read_text() == text
    lines = capsys.readouterr().out.splitlines()
    assert "the best policies up to iteration 8, 40 episodes" in lines[0] and lines[1].split() == ["seed", "greedy"]
    assert lines[2].endswith(f"of iteration {best.iteration[0]}")
    assert lines[-1].startswith("IQM [95 % interval] of 2 seeds: greedy ")
    assert lines[-1].endswith(f"{estimate['iqm']:.2f} [{estimate['low']:.2f}, {estimate['high']:.2f}]")
    (trained / "evaluation_best.json").unlink()


def test_export_policy(trained, tmp_path, capsys):
    pytest.importorskip("safetensors")
    capsys.readouterr()
    assert main(["export-policy", str(trained), "--seed", "7", "--best", "-o", str(tmp_path / "policy")]) == 0
    assert "policy.safetensors, described in" in capsys.readouterr().out
    card = json.loads((tmp_path / "policy" / "policy.json").read_text())
    assert card["origin"]["seed"] == 7 and card["origin"]["actors"] == "best"
    again = load_run(trained).evaluate(40, best=True, members=[1])
    assert card["origin"]["evaluation"]["eval_return_greedy"] == float(again["eval_return_greedy"][0])


def test_a_damaged_checkpoint_is_one_line_on_stderr(trained, tmp_path, capsys):
    pytest.importorskip("safetensors")
    path = shutil.copytree(trained, tmp_path / "run")
    (path / "checkpoints" / "000000008" / "manifest.json").unlink()
    capsys.readouterr()
    for command in (
        ["eval", str(path), "--episodes", "4"],
        ["export-policy", str(path), "-o", str(tmp_path / "policy")],
    ):
        assert main(command) == 0
        assert capsys.readouterr().err == (
            f"ltro: checkpoint 000000008 of {path / 'checkpoints'} is damaged (manifest.json: missing); "
            "checkpoint 000000004 is used\n"
        )


def test_render(tiny, stored, tmp_path, monkeypatch, capsys):
    """What was asked for is what is played."""
    run = stored(tiny(task="mpe/simple_spread", seeds=(3, 7)), tmp_path / "run")
    still, nobody, silence = np.zeros((1, 1, 2)), np.full((1, 1), -1), np.zeros((1, 1, 0))
    scene = ParticleScene(still, still, np.ones((1, 1)), nobody, silence, np.zeros((1, 1), bool))
    asked = []

    def play(policy: Policy, look: Any, *rest: Any) -> list[Episode]:
        asked.append((policy.params["params"]["log_std"].tolist(), *rest))
        return [Episode(scene, np.zeros(0, np.float32))]

    monkeypatch.setattr("ltro_jax.export.film.play", play)
    output = tmp_path / "episodes.gif"
    given = ["--episodes", "4", "--max-steps", "2", "--sampled", "--reset-seed", "9", "--fps", "3"]
    assert main(["render", str(run), "--seed", "7", *given, "-o", str(output)]) == 0
    assert capsys.readouterr().out == f"drawn: {output}\n" and output.read_bytes()[:6] == b"GIF89a"
    assert asked == [(load_policy(run, seed=7).params["params"]["log_std"].tolist(), 4, 2, True, 9)]


@pytest.fixture
def saved(monkeypatch) -> list[Figure]:
    """Plots in the order in which they are saved."""
    figures, save = [], Figure.savefig

    def savefig(self: Figure, *arguments: Any, **options: Any) -> None:
        figures.append(self)
        save(self, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return figures


def test_plot(trained, tmp_path, capsys, saved):
    assert main(["plot", str(trained)]) == 0
    assert capsys.readouterr().out == f"drawn: {trained / 'eval_return_greedy.png'}\n"
    (trained / "eval_return_greedy.png").unlink()
    expected = load_run(trained).metrics["eval_return_greedy"].astype("float32").mean("member").dropna("iteration")
    (line,) = [line for line in saved[0].axes[0].lines if not str(line.get_label()).startswith("_")]
    np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-6)
    np.testing.assert_array_equal(line.get_xdata(), expected["env_steps"])
    output = tmp_path / "smooth.pdf"
    given = ["--metric", "episode_return", "--smoothing", "3", "-o", str(output)]
    assert main(["plot", str(trained), *given]) == 0
    expected = plot(trained, "episode_return", smoothing=3, output=tmp_path / "expected.pdf")
    assert expected.axes[0].lines[0].get_xdata()[0] == load_run(trained).metrics["env_steps"].values[2]  # type: ignore[index]
    assert output.read_bytes() == (tmp_path / "expected.pdf").read_bytes()


def test_plot_refuses_what_cannot_be_compared(trained, tmp_path, capsys):
    capsys.readouterr()
    other = shutil.copytree(trained, tmp_path / "other")
    settings = json.loads((other / "settings.json").read_text()) | {"task": "probe/climbing"}
    (other / "settings.json").write_text(json.dumps(settings))
    output = tmp_path / "picture.png"
    assert main(["plot", str(trained), str(other), "-o", str(output)]) == 2
    error = capsys.readouterr().err
    assert error == (
        "ltro: the runs are of different tasks (probe/climbing, probe/matching); plot each task separately\n"
    )
    settings |= {"task": "probe/matching"}
    (other / "settings.json").write_text(json.dumps(settings))
    store = MetricStore(other / "metrics")
    rows = store.load().assign_attrs(team_reward="mean")
    store.truncate(0)
    store.append(rows)
    assert main(["plot", str(trained), str(other), "-o", str(output)]) == 2
    assert "different team rewards (mean over " in capsys.readouterr().err
    assert main(["plot", str(trained), "-o", str(tmp_path / "picture.jpg")]) == 2
    assert ".jpg is not a .png or .pdf file; choose another name" in capsys.readouterr().err
    assert main(["plot", str(trained), "--metric", "score", "-o", str(output)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("ltro: metric = 'score' is unknown; available are ") and "entropy" in error
    assert not output.exists()


def test_report(trained, tmp_path, capsys):
    assert main(["report", str(trained), "-o", str(tmp_path / "pages"), "--metric", "episode_return"]) == 0
    page = tmp_path / "pages" / "report.html"
    assert capsys.readouterr().out == f"written: {page}\n"
    text = page.read_text()
    assert "clip_happo on probe/matching" in text and "Final episode return; IQM over 2 seeds" in text
    assert load_run(trained).directory.environment["command"] in html.unescape(text)
    assert "not recorded" not in text  # how long it took
    for name in load_run(trained).metrics.data_vars:
        dims = load_run(trained).metrics[name].dims
        assert f'id="figure-{name}-probe_matching"' in text or "agent" not in dims


def test_presets(capsys):
    assert main(["presets"]) == 0
    text = capsys.readouterr().out
    for entry in list_presets():
        line = next(line for line in text.splitlines() if line.split()[:2] == [entry.preset, entry.algorithm])
        derived = f"{entry.derived_from} with the defaults of {entry.algorithm}"
        assert line.endswith(derived) == (entry.derived_from is not None)
    assert all(rule.summary in text for rule in ALGORITHMS.values())
    assert main(["presets", "mpe/simple_spread", "--algorithm", "happo"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "algorithm = happo" in lines and "factor_clip = inf" in lines and len(lines) == len(SETTINGS) + 4
    assert "continuous_actions = True" in lines


def test_options_of_an_environment(capsys):
    assert main(["envs", "mpe/simple_spread"]) == 0
    table, options = capsys.readouterr().out.split("\n\n")
    assert "mpe/simple_spread                   3           18     5 continuous     54       25" in table.splitlines()
    header, *lines = options.splitlines()
    assert header.split() == ["option", "type", "default", "meaning"]
    assert [line.split()[0] for line in lines] == [
        "--num_agents",
        "--continuous_actions",
        "--team_reward",
        "--physics",
        "--episode_length",
    ]
    assert lines[2].split(maxsplit=4)[1:4] == ["a", "name", "sum"] and lines[2].endswith("; sum or mean")
    assert main(["envs", "swimmer/10x2"]) == 0 and main(["envs", "mabrax/ant_4x2"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("--backend")]
    assert lines[0].endswith("; built_in or mjx") and lines[1].endswith("; generalized, mjx, spring or positional")
    assert main(["envs", "simple_spread"]) == 2
    assert "did you mean mpe/simple_spread?" in capsys.readouterr().err


def test_envs(capsys, monkeypatch):
    """As where no extra is installed."""
    monkeypatch.setitem(sys.modules, "brax", None)
    assert main(["envs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["task", *list_tasks()]
    assert "mpe/simple_speaker_listener         2         3/11   3/5 continuous     14       25" in lines
    needs = "needs the extra 'mabrax': pip install -c constraints.txt -e '.[mabrax]'"
    assert f"mabrax/ant_4x2                 {needs}" in lines


def test_float64_changes_nothing(trained, options, tmp_path):
    """JAX_ENABLE_X64=1: the same numbers, in float32."""
    with jax.enable_x64(True):
        assert main(["train", "probe/matching", "--quiet", "--out", str(tmp_path / "run"), *options]) == 0
        assert main(["eval", str(tmp_path / "run"), "--episodes", "2"]) == 0
    assert_same_run(load_run(tmp_path / "run"), load_run(trained))
