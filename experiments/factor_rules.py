"""Which weight of the factor has the lowest bias, variance and mean squared error?

    python experiments/factor_rules.py                                  # 100 games each of 2, 4 and 8 agents
    python experiments/factor_rules.py --games 500 --agents 2 4 8 10    # full size

One exact trust-region update of each random game, without a clamp; all weights are measured on the same two policies.
Writes `experiments/results/factor_rules/`: table, plot, report.
"""

import argparse
import math
from pathlib import Path

from ltro_jax.laboratories.games.study import TheorySettings, run_studies

RESULTS = Path("experiments/results/factor_rules")
PARAMETERS = {
    "factor_clips": (0.5, 0.7, 1.0, 1.5, 2.0, 4.0, math.inf),
    "factor_epsilons": (0.05, 0.1, 0.2, 0.5, 1.0),
    "factor_powers": (0.2, 0.4, 0.6, 0.8),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--games", type=int, default=100)
    parser.add_argument("--agents", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--seed", type=int, default=0)
    run_studies(["factor_rules"], TheorySettings(**PARAMETERS, **vars(parser.parse_args())), RESULTS)
    for suffix in ("pdf", "nc.gz"):
        (RESULTS / f"factor_rules.{suffix}").unlink()  # the repository keeps the table, the report and the PNG
    print((RESULTS / "factor_rules.md").read_text())


if __name__ == "__main__":
    main()
