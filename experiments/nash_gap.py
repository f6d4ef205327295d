"""Does the Nash gap fall with the iterations, how fast, and does the clamp matter?

    python experiments/nash_gap.py          # CPU size: 100 games of 4 agents, 4 states, 3 actions, 1000 iterations
    python experiments/nash_gap.py --games 500 --gap_iterations 3000        # full size

Exact gradient and trust-region steps, with agents in sequence (factor_clip 0.5, 1, 2 and infinity) and all agents at
once. Writes `experiments/results/nash_gap/`: table, plot, dataset.
"""

import argparse
from pathlib import Path

from ltro_jax.laboratories.games.study import TheorySettings, run_studies

RESULTS = Path("experiments/results/nash_gap")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--games", type=int, default=100)
    parser.add_argument("--num_agents", type=int, default=4)
    parser.add_argument("--num_states", type=int, default=4)
    parser.add_argument("--num_actions", type=int, default=3)
    parser.add_argument("--gap_iterations", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    run_studies(["nash_gap"], TheorySettings(**vars(parser.parse_args())), RESULTS)
    for figure in RESULTS.glob("*.pdf"):
        figure.unlink()  # the repository keeps the PNG
    print((RESULTS / "nash_gap.md").read_text())


if __name__ == "__main__":
    main()
