"""Random and hostile values for every option of every command, up to the point of compiling.

    python experiments/fuzz_settings.py --cases 10000 --seed 0 -o experiments/results/fuzz_settings.json

Each case is one command line, run in this process. It must end in one of three ways: the command reaches the point
where it would compile, train or draw; it ends by itself; or it fails with exit code 2 and one sentence on stderr.
Everything else is a finding, and the exit code is then 1.
"""

import argparse
import contextlib
import io
import json
import os
import random
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from ltro_jax.cli import commands, main
from ltro_jax.config import find_setting

NUMBERS = ["0", "1", "2", "3", "-1", "-0", "0.5", "1e-3", "1e9", "1e400", "nan", "inf", "-inf", "9" * 40, "2147483648"]
WORDS = [
    "",
    " ",
    "none",
    "true",
    "false",
    "abc",
    "é",
    "∞",
    "a\nb",
    "1_000",
    "0x10",
    "1,2,3",
    "0:4",
    "0:10000000",
    "4:0",
]
PAIRS = [
    "actor_lr=1e-3,1e-2",
    "gamma=0.9999999,1",
    "gamma=0.99999999,1",
    "algorithm=happo,hatrpo",
    "task=",
    "=1",
    "a=b=c",
]
PLACES = ["../../x", "~", "deep/er", "taken", "taken/file", "a b", "x.png", "x.gif", "x.html", ".", "x" * 300]
HOSTILE = [*NUMBERS, *WORDS, *PAIRS, *PLACES]
PRESETS = ["mpe/simple_spread", "mpe/simple_reference", "probe/matching", "probe/target", "smax/3m", "nothing/here", ""]
RUNS = ["run", "run/", "run/settings.json", "taken", "nowhere", "", "sweep", "damaged"]
SMALL = ["--num_envs=2", "--rollout_length=4", "--hidden_sizes=8", "--total_env_steps=16", "--eval_episodes=2"]
LEFT_OUT = {"help", "watch", "follow", "distributed"}  # the first ends by itself, the others wait


class ReachedError(BaseException):
    """The command is about to compile, to draw or to wait."""


def reached(*_: Any, **__: Any) -> Any:
    raise ReachedError


STOPS = (  # points at which a command has checked all its arguments
    "ltro_jax.runs.train.Session.__init__",
    "ltro_jax.runs.forecast.compile_fitting",
    "ltro_jax.runs.load.evaluate_members",
    "ltro_jax.runs.scoring.absolute_metrics",
    "ltro_jax.export.film.play",
    "ltro_jax.laboratories.controlled.tables.make_controlled",
    "ltro_jax.laboratories.games.study.use_compilation_cache",
    "ltro_jax.reports.report._page",
    "ltro_jax.reports.plot.learning_curves",
    "ltro_jax.watch.bug_report.bug_report",
    "jax.distributed.initialize",
    "time.sleep",
)


def case(draw: random.Random, parsers: dict[str, Any]) -> list[str]:
    """One command line."""
    name = draw.choice(list(parsers))
    words, options = [name], []
    for action in parsers[name]._actions:
        if action.dest in LEFT_OUT:
            continue
        if action.option_strings:
            options.append(action)
            continue
        count = draw.choice([1, 1, 1, 2]) if action.nargs in ("+", "*") else draw.choice([0, 1]) if action.nargs else 1
        known = RUNS if "RUN" in str(action.metavar) else PRESETS
        words += [draw.choice(known if draw.random() < 0.85 else HOSTILE) for _ in range(count)]
    if name in ("train", "sweep"):
        words += [word for word in SMALL if draw.random() < 0.9]
    required = [action for action in options if action.required and draw.random() < 0.9]
    for action in required + draw.sample(options, min(len(options), draw.choice([0, 1, 1, 2, 2, 3, 5]))):
        words += given(draw, action)
    return words


def given(draw: random.Random, action: argparse.Action) -> list[str]:
    """An option with values, most of them of the right type."""
    option = draw.choice(action.option_strings)
    if action.nargs == 0:
        return [option]
    spec = find_setting(action.dest.removeprefix("setting_"))
    wanted = list(map(str, action.choices or (spec.metadata.get("choices") if spec else None) or ()))
    if not wanted:
        wanted = NUMBERS if spec is None or spec.type in (int, float) else [*NUMBERS, *WORDS]
    values = [draw.choice(wanted if draw.random() < 0.8 else HOSTILE)]
    if action.nargs in ("+", "*") and draw.random() < 0.4:
        values.append(draw.choice(HOSTILE))
    return [f"{option}={values[0]}", *values[1:]] if action.nargs is None and draw.random() < 0.5 else [option, *values]


def outcome(words: list[str]) -> tuple[str, str]:
    """How a command line ended, and the evidence."""
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(words)
    except ReachedError:
        return "reached", ""
    except SystemExit as end:  # of the parser
        code = end.code
    except BaseException:
        return "traceback", traceback.format_exc()
    lines = [line for line in err.getvalue().splitlines() if line]
    if code == 2:
        return ("refused" if len(lines) == 1 and lines[0].startswith("ltro") else "not one sentence"), err.getvalue()
    return ("done" if code in (0, 1, 130) else f"exit code {code}"), err.getvalue()


@contextlib.contextmanager
def playground() -> Iterator[None]:
    """A directory with a run of two iterations, an invalid sweep, and a file in the way."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        place = Path(folder) / "one" / "two"
        place.mkdir(parents=True)
        stack.callback(os.chdir, os.getcwd())
        os.chdir(place)
        stack.enter_context(mock.patch.dict(os.environ, {"HOME": folder, "LTRO_COMPILATION_CACHE": "off"}))
        assert (
            main(["train", "probe/matching", "--quiet", "--seeds=0:2", "--eval_interval=1", *SMALL, "--out=run"]) == 0
        )
        for name, text in {"taken/file": "", "sweep/sweep.json": "{}", "damaged/settings.json": "["}.items():
            (place / name).parent.mkdir()
            (place / name).write_text(text)
        for stop in STOPS:
            stack.enter_context(mock.patch(stop, reached))
        yield


def fuzz(cases: int, seed: int) -> tuple[Counter[str], list[dict[str, Any]]]:
    """The number of cases by outcome, and the cases with a forbidden outcome."""
    draw, counts, findings = random.Random(seed), Counter(), []
    with playground():
        parsers = {
            name: parser for name, parser in commands.make_parser()[1].items() if name not in ("envs", "presets")
        }
        for _ in range(cases):
            words = case(draw, parsers)
            how, said = outcome(words)
            counts[how] += 1
            if how not in ("reached", "done", "refused"):
                findings.append({"words": words, "outcome": how, "said": said[-2000:]})
    return counts, findings


def run() -> int:
    parser = argparse.ArgumentParser(description="Random and hostile values for every option of every command.")
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    counts, findings = fuzz(options.cases, options.seed)
    result = {
        "cases": options.cases,
        "seed": options.seed,
        "outcomes": dict(sorted(counts.items())),
        "findings": findings,
    }
    text = json.dumps(result, indent=1) + "\n"
    print(text, end="")
    if options.output:
        options.output.write_text(text)
    return 1 if findings else 0


if __name__ == "__main__":
    raise SystemExit(run())
