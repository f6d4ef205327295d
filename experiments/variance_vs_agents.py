"""How fast does the advantage variance grow with the number of agents, with and without the clamp?

    python experiments/variance_vs_agents.py           # CPU size: simple_spread N = 2 … 12, 10 seeds × 40 k steps
    python experiments/variance_vs_agents.py --total_env_steps 10_000_000 --agents 2 3 5 8 12 20     # full size

Interruptible: the same command goes on. Everything but the algorithm and the number of agents is equal (the paper's
settings of simple_spread). Writes `experiments/results/variance_vs_agents/`: tables, figures, datasets by position.
"""

import argparse
from pathlib import Path

from ltro_jax.runs.variance import configurations, train_all, write_study

RUNS = Path("runs/variance_vs_agents")
RESULTS = Path("experiments/results/variance_vs_agents")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="mpe/simple_spread")
    parser.add_argument("--agents", type=int, nargs="+", default=[2, 3, 5, 8, 12])
    parser.add_argument("--seeds", default="0:10")
    parser.add_argument("--total_env_steps", default="40_000")
    options = parser.parse_args()
    settings = {"seeds": options.seeds, "total_env_steps": options.total_env_steps, "eval_episodes": 0}
    configs = configurations([options.task], ["clip_happo", "happo"], num_agents=options.agents, **settings)
    runs = train_all(configs, RUNS, progress=True, command=None)
    write_study({label: run.metrics for label, run in runs.items()}, RESULTS)
    for figure in RESULTS.glob("*.pdf"):
        figure.unlink()  # the repository keeps the PNGs
    print((RESULTS / "table.md").read_text())


if __name__ == "__main__":
    main()
