"""What is the second moment of the factor on actions that the update never saw, and can it be estimated?

    python experiments/controlled_measurement.py                                   # CPU size: 5 seeds × 20 k steps
    python experiments/controlled_measurement.py --seeds 0:10 --total_env_steps 10_000_000   # full size

π is HAPPO's policy after training, and π' is the policy 1, 4 or 16 updates later. The mean of R² over 65,536 fresh
draws is compared with E_s Π(1 + χ²). If every joint action can be enumerated, Var(R·A) is compared with its exact
value. After an interruption, the same command resumes. Writes a report, a table and a plot to
`experiments/results/controlled_measurement/`.
"""

import argparse
from pathlib import Path

import pandas as pd

from ltro_jax.analysis.results import write_results
from ltro_jax.analysis.tables import csv_text
from ltro_jax.laboratories.controlled.moments import agreement_figure
from ltro_jax.laboratories.controlled.tables import controlled_markdown, controlled_table
from ltro_jax.laboratories.variance.study import train_all
from ltro_jax.presets import preset_or_defaults

RUNS = Path("runs/controlled_measurement")
RESULTS = Path("experiments/results/controlled_measurement")
GAMES = {
    "probe/climbing": {},
    "probe/matching N=4": {"num_agents": 4},
    "mpe/simple_spread discrete": {"continuous_actions": False},
    "mpe/simple_spread N=8": {"num_agents": 8},
    "mpe/simple_spread N=20": {"num_agents": 20},
}


def words(updates: int) -> str:
    return f"{updates} update{'s' if updates > 1 else ''}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0:5")
    parser.add_argument("--total_env_steps", default="20_000")
    parser.add_argument("--updates", type=int, nargs="+", default=[1, 4, 16])
    options = parser.parse_args()
    common = {"seeds": options.seeds, "total_env_steps": options.total_env_steps, "eval_episodes": 0}
    configs = {
        title: preset_or_defaults(title.split()[0], "happo", **common, **settings) for title, settings in GAMES.items()
    }
    runs = train_all(configs, RUNS, progress=True, command=None)
    tables = {}
    for updates in options.updates:
        for title, run in runs.items():
            tables[f"{title}, {words(updates)}"] = controlled_table(run, num_updates=updates)
    moments = {label: of_run.moments for label, of_run in tables.items()}
    everything = pd.concat(moments, names=["run"]).reset_index("run")
    by_updates = {
        words(updates): everything.query("updates == @updates and agents_before > 0") for updates in options.updates
    }
    files = {"controlled.md": controlled_markdown(tables).encode(), "controlled.csv": csv_text(everything).encode()}
    write_results(RESULTS, files, {"controlled": agreement_figure(by_updates, "Fresh actions, fixed policies")})
    (RESULTS / "controlled.pdf").unlink()  # the repository keeps the PNG
    print((RESULTS / "controlled.md").read_text())


if __name__ == "__main__":
    main()
