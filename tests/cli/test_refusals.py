"""Bad input: exit code 2, one sentence on stderr, and nothing written."""

import json
import shutil

import pytest

from ltro_jax.cli import main

TRAIN = [
    (["mpe/simple_sprad"], "task = 'mpe/simple_sprad' is unknown; did you mean mpe/simple_spread? allowed are mpe/"),
    (["mpe/simple_spread", "--algorithm", "ppo"], "algorithm = 'ppo' has no preset for mpe/simple_spread; allowed "),
    (["probe/matching", "--algorithm", "ppo"], "algorithm = 'ppo' is unknown; allowed are clip_happo, happo, "),
    (["probe/matching", "--num_envs", "0"], "num_envs = 0 is not allowed; it must be at least 1"),
    (["probe/matching", "--num-envs", "few"], "num_envs = 'few' is not a whole number"),
    (["probe/matching", "--gamma=1.1"], "gamma = 1.1 is not allowed; it must be at most 1"),
    (["probe/matching", "--actor_lr=-1e-3"], "actor_lr = -0.001 is not allowed; it must be greater than 0"),
    (["probe/matching", "--actor_lr", "nan"], "actor_lr = nan is not "),
    (["probe/matching", "--seeds", "1,1"], "seeds = 1,1 repeats a seed"),
    (
        ["probe/matching", "--algorithm", "hatrpo", "--actor_lr", "0.1"],
        "actor_lr = 0.1 has no meaning with algor",
    ),
    (["probe/matching", "--seeds", "0:10000000"], "seeds = '0:10000000' is 10000000 numbers; at most 1000000 are "),
    (["probe/matching", "--seeds", "1-4"], "seeds = '1-4' is not whole numbers like 0:10 or 1,4,9"),
    (["mpe/simple_spread", "--team_reward", "max"], "team_reward = 'max' is not one of sum, mean"),
    (["probe/matching", "--team_reward", "mean"], "team_reward = 'mean' has no meaning on probe/matching; leave it "),
    (["smax/3m", "--num_agents", "8"], "num_agents = 8 has no meaning on smax/3m; leave it out"),
    (["mabrax/ant_4x2", "--backend", "built_in"], "backend = 'built_in' is not one of generalized, mjx, spring, posi"),
    (["swimmer/10x2", "--backend", "spring"], "backend = 'spring' is not one of built_in, mjx"),
    (["mpe/simple_spread", "--actor_minibatches", "3"], "actor_minibatches = 3 does not divide num_envs × rollout_"),
    (["mpe/simple_reference", "--num_agents", "4"], "num_agents = 4 cannot be chosen for mpe/simple_reference, which "),
    (["probe/matching", "--continuous_actions", "true"], "continuous_actions = True is not possible: probe/matching "),
    (["probe/matching", "--tracker", "tensorboard", "wanb"], "tracker = 'wanb' is not one of wandb, tensorboard, mlf"),
    (["probe/matching", "--tracker", "mlflow,mlflow"], "tracker = mlflow,mlflow names a tracker twice"),
    (["probe/matching", "--learning_rate", "1"], "unknown option '--learning_rate'; "),
    (["probe/matching", "--gama", "1"], "unknown option '--gama'; did you mean --gamma? "),
    (["probe/matching", "--num_envs", "1e9"], "num_envs = 1000000000 and rollout_length = 200 need about "),
    (["mpe/simple_spread", "--continuous_actions", "no", "--std_y_coef", "0.3"], "std_y_coef = 0.3 has no meaning on "),
]


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line on stderr of a command that exits with 2."""
    capsys.readouterr()
    assert main(arguments) == 2
    output = capsys.readouterr()
    assert output.out == "" and output.err.startswith("ltro: ") and output.err.count("\n") == 1
    return output.err.removeprefix("ltro: ").rstrip()


@pytest.mark.parametrize("arguments, sentence", TRAIN, ids=[" ".join(arguments) for arguments, _ in TRAIN])
def test_train_refuses(arguments, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert refusal(capsys, "train", *arguments).startswith(sentence)
    assert refusal(capsys, "train", *arguments, "--out", "deep/run").startswith(sentence)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["train"], "PRESET"),
        (["fly"], "fly"),
        ([], "COMMAND"),
        (["eval", "run", "--episodes", "many"], "--episodes"),
        (["train", "probe/matching", "--num_envs=4", "--num-envs", "8"], "--num-envs is given twice; give it once"),
        (["sweep", "probe/matching", "--grid", "gamma=1", "--grid", "actor_lr=1"], "--grid is given twice"),
    ],
)
def test_unknown_options_and_commands(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    output = capsys.readouterr()
    assert exit_.value.code == 2 and output.out == ""
    assert words in output.err.splitlines()[-1]
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["resume", "eval", "plot", "report", "render -o x.gif", "export-policy -o x"])
def test_a_run_that_is_not_there(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    name, *rest = command.split()
    sentence = refusal(capsys, name, "runs/none", *rest)
    assert sentence.startswith("there is no run runs/none; check the path or start one")
    assert not any(tmp_path.iterdir())


def test_runs_that_cannot_be_used(trained, tmp_path, capsys):
    assert refusal(capsys, "eval", str(trained), "--episodes", "0") == (
        "episodes = 0 is not allowed; it must be at least 1"
    )
    path = shutil.copytree(trained, tmp_path / "copy")
    (path / "settings.json").write_text("{")
    assert refusal(capsys, "eval", str(path)).startswith(f"{path / 'settings.json'} is damaged (")
    settings = json.loads((trained / "settings.json").read_text()) | {"depth": 3}
    (path / "settings.json").write_text(json.dumps(settings))
    assert refusal(capsys, "resume", str(path)).startswith("unknown setting 'depth'; ")
    shutil.rmtree(path / "checkpoints")
    (path / "settings.json").write_text((trained / "settings.json").read_text())
    assert refusal(capsys, "eval", str(path)).startswith(f"no usable checkpoint in {path / 'checkpoints'}: there is ")


def test_what_cannot_be_looked_at(trained, tmp_path, capsys):
    """Nothing is left at the output."""
    run, out = str(trained), str(tmp_path / "x.gif")
    for arguments, sentence in (
        (
            ["render", run, "-o", out],
            "task = 'probe/matching' cannot be drawn; choose a task of mpe, smax, swimmer or ",
        ),
        (["render", run, "--fps", "0", "-o", out], "fps = 0 is not allowed; it must be at least 1"),
        (["render", run, "--point", "gamma", "-o", out], "point = 'gamma' is not a list of NAME=VALUE, such as "),
        (["render", run, "--point", "gamma=1", "-o", out], "point = gamma=1 is not one of the grid of "),
        (["render", run, "--seed", "4", "-o", out], f"seed 4 is not in {run}; it has the seeds 3, 7"),
        (["export-policy", run, "--iteration", "5", "-o", out], f"{trained / 'checkpoints'} has no checkpoint of "),
        (["export-policy", str(tmp_path), "-o", out], f"{tmp_path} is not a run directory: it has no environment.json"),
        (["export-policy", run, "-o", run], f"{run} already exists and is not empty; choose another directory with -o"),
        (["eval", run, "--json", str(tmp_path / "no" / "x.json")], f"json = {tmp_path / 'no' / 'x.json'} is in a dir"),
    ):
        assert refusal(capsys, *arguments).startswith(sentence)
    assert not any(tmp_path.iterdir())


def test_unknown_presets(capsys):
    assert refusal(capsys, "presets", "mpe/none").startswith("preset 'mpe/none' is unknown; allowed are mabrax/")
    assert refusal(capsys, "presets", "mpe/simple_spread", "--algorithm", "ppo").startswith("algorithm = 'ppo' has no ")
