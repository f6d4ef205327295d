"""How fast does the advantage variance grow with the number of agents, with and without the clamp?

    python experiments/variance_vs_agents.py                       # CPU size: all three studies
    python experiments/variance_vs_agents.py --studies smax        # one of them
    python experiments/variance_vs_agents.py --total_env_steps 10_000_000     # full size

| study | N | CPU size |
|---|---|---|
| simple_spread | 2 … 20 | 10 seeds × 40 k steps (10 iterations) |
| smax | 3, 8, 25, 27 marines (3m, 8m, 25m, 27m_vs_30m) | 5 seeds × 6 iterations: variance, no claim on learning |
| probe | 2 … 64 in probe/target | 5 seeds × 20 k steps (5 iterations) |

After an interruption, the same command resumes. Within a study everything but the algorithm and the number of agents is
equal: the paper's settings of simple_spread, the preset smax/3m, the default settings. The controlled measurement on
the last policies follows each study. Writes `experiments/results/variance_vs_agents/<study>/`.
"""

import argparse
from pathlib import Path
from typing import Any

from ltro_jax import Config, load_preset
from ltro_jax.laboratories.controlled.tables import controlled_table
from ltro_jax.laboratories.variance.study import configurations, train_all, write_study

RUNS = Path("runs/variance_vs_agents")
RESULTS = Path("experiments/results/variance_vs_agents")
ALGORITHMS = ("clip_happo", "happo")
BATTLES = ("smax/3m", "smax/8m", "smax/25m", "smax/27m_vs_30m")


def simple_spread(**length: Any) -> dict[str, Config]:
    """The paper's settings."""
    settings = {"seeds": "0:10", "total_env_steps": 40_000, "eval_episodes": 0} | length
    return configurations(["mpe/simple_spread"], ALGORITHMS, num_agents=[2, 3, 5, 8, 12, 20], **settings)


def smax(**length: Any) -> dict[str, Config]:
    """Marines in ever larger battles, all with the settings of the smallest."""
    configs = {}
    for battle in BATTLES:
        for algorithm in ALGORITHMS:
            config = load_preset("smax/3m", algorithm)
            settings = {"seeds": "0:5", "total_env_steps": 6 * config.static.steps_per_iteration} | length
            configs[f"{battle} {algorithm}"] = config.replace(task=battle, eval_episodes=0, **settings)
    return configs


def probe(**length: Any) -> dict[str, Config]:
    """One step, continuous: every agent's action counts for 1/N of the reward."""
    settings = {"seeds": "0:5", "total_env_steps": 20_000, "eval_episodes": 0} | length
    return configurations(["probe/target"], ALGORITHMS, num_agents=[2, 4, 8, 16, 32, 64], **settings)


STUDIES = {study.__name__: study for study in (simple_spread, smax, probe)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", nargs="+", default=list(STUDIES), choices=list(STUDIES))
    parser.add_argument("--seeds")
    parser.add_argument("--total_env_steps")
    options = parser.parse_args()
    length = {name: value for name in ("seeds", "total_env_steps") if (value := getattr(options, name))}
    for name in options.studies:
        runs = train_all(STUDIES[name](**length), RUNS, progress=True, command=None)
        controlled = {label: controlled_table(run) for label, run in runs.items()}
        write_study(runs, RESULTS / name, controlled)
        for pattern in ("*.pdf", "learning_curves-*", "variance_over_training-*"):  # the repository keeps the others
            for figure in (RESULTS / name).glob(pattern):
                figure.unlink()
        print((RESULTS / name / "table.md").read_text(), (RESULTS / name / "controlled.md").read_text(), sep="\n")


if __name__ == "__main__":
    main()
