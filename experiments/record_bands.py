"""Record the scores of presets for `ltro verify`. Writes `ltro_jax/presets/<task>.bands.json`.

    python experiments/record_bands.py                            # all, about 25 minutes on 2 quiet cores
    python experiments/record_bands.py --tasks smax/3m            # some of it

After an interruption, the same command resumes. A band belongs to the settings, seeds and lengths below, which are
short: it shows whether training still gives the same result, not how good a preset is.
"""

import argparse
from pathlib import Path
from typing import Any

from ltro_jax import load_preset
from ltro_jax.analysis.results import file_name
from ltro_jax.runs.train import train_or_resume
from ltro_jax.runs.verify import record

RUNS = Path("runs/record_bands")
PRESETS = Path("ltro_jax/presets")
TEN: dict[str, Any] = {"seeds": "0:10", "total_env_steps": 200_000}
RECORDED: list[tuple[str, str, dict[str, Any]]] = [
    ("mpe/simple_spread", "clip_happo", TEN),
    ("mpe/simple_reference", "clip_happo", TEN),
    ("mpe/simple_speaker_listener", "clip_happo", TEN),
    ("smax/3m", "clip_happo", {"seeds": "0:5", "total_env_steps": 100_000}),
    ("mabrax/halfcheetah_6x1", "clip_happo", {"seeds": "0:8", "total_env_steps": 40_000, "eval_episodes": 4}),
    ("swimmer/10x2", "clip_happo", {"seeds": "0:8", "total_env_steps": 20_000, "eval_episodes": 4}),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=sorted({task for task, *_ in RECORDED}))
    options = parser.parse_args()
    for task, algorithm, settings in RECORDED:
        if task in options.tasks:
            config = load_preset(task, algorithm, **settings)
            # If many episodes end in each iteration, their mean varies less than a few evaluations.
            metric = "episode_return" if task.startswith(("mpe/", "smax/")) else "eval_return_greedy"
            run = train_or_resume(config, RUNS / file_name(f"{task} {algorithm}"), progress=True, command=None)
            print(record(run, settings, metric, PRESETS), run.path)


if __name__ == "__main__":
    main()
