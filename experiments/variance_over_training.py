"""How does the advantage variance change while agents learn, with and without the clamp?

    python experiments/variance_over_training.py                               # CPU size: N = 5, 10 seeds × 0.1 M steps
    python experiments/variance_over_training.py --total_env_steps 10_000_000  # the paper's length

After an interruption, the same command resumes. Everything but the algorithm is equal (the paper's settings of
simple_spread, with five agents). The controlled measurement on the last policies follows. Writes
`experiments/results/variance_over_training/`: tables, plots with learning curves, datasets by position.
"""

import argparse
from pathlib import Path

from ltro_jax.laboratories.controlled.tables import controlled_table
from ltro_jax.laboratories.variance.study import configurations, train_all, write_study

RUNS = Path("runs/variance_over_training")
RESULTS = Path("experiments/results/variance_over_training")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", type=int, default=5)
    parser.add_argument("--seeds", default="0:10")
    parser.add_argument("--total_env_steps", default="100_000")
    options = parser.parse_args()
    settings = {"seeds": options.seeds, "total_env_steps": options.total_env_steps, "eval_episodes": 0}
    configs = configurations(["mpe/simple_spread"], ["clip_happo", "happo"], num_agents=[options.agents], **settings)
    runs = train_all(configs, RUNS, progress=True, command=None)
    write_study(runs, RESULTS, {label: controlled_table(run) for label, run in runs.items()})
    for figure in RESULTS.glob("*.pdf"):
        figure.unlink()  # the repository keeps the PNGs
    print((RESULTS / "table.md").read_text(), (RESULTS / "controlled.md").read_text(), sep="\n")


if __name__ == "__main__":
    main()
