"""Does training reproduce the authors' curve if the environment has their physics?

    python experiments/reference_physics.py      # 10 seeds × 0.6 M steps, about 8 minutes on 2 quiet cores

The authors trained on PettingZoo 1.22, which moves an entity by its NEW velocity; JaxMARL (as newer PettingZoo) moves
it by the old one, so that every action takes effect a step later. This script replaces the integrator of JaxMARL by the
older one, and two settings follow the authors' code: the advantage is masked at the time limit, and the entropy
coefficient is 0.01 × 4000, because their bonus is a sum over the batch. After an interruption, the same command
resumes. Writes `experiments/results/reference_physics.md`.
"""

from pathlib import Path

import jax
import pandas as pd
from jaxmarl.environments.mpe.simple import SimpleMPE
from learning_simple_spread import REFERENCE, SELF_COLLISION, TASK
from study import finished_run

import ltro_jax
from ltro_jax.analysis.statistics import iqm_interval
from ltro_jax.analysis.tables import interval_text, markdown_table

RUN = Path("runs/reference_physics")
RESULT = Path("experiments/results/reference_physics.md")


def integrate_by_new_velocity(self, force, position, velocity, mass, moveable, max_speed):
    """One entity, as in PettingZoo 1.22; no entity of simple_spread has a speed limit."""
    velocity = velocity * (1 - self.damping) + force / mass * self.dt * moveable
    return position + velocity * self.dt, velocity


def main() -> None:
    entities = jax.vmap(integrate_by_new_velocity, in_axes=(None, 0, 0, 0, 0, 0, 0))
    SimpleMPE._integrate_state = entities  # type: ignore[method-assign]
    settings = {"seeds": "0:10", "total_env_steps": 600_000, "truncation": "mask", "ent_coef": 0.01 * 4000}
    config = ltro_jax.load_preset(TASK, "clip_happo", **settings)
    run = finished_run(config, RUN)
    episode_return = run.metrics["episode_return"]
    rows = []
    for steps, reference, _ in REFERENCE:
        last = int(steps) // config.static.steps_per_iteration
        interval = iqm_interval(episode_return[:, last - 5 : last].mean("iteration").values)
        rows.append((f"{steps / 1e3:.0f} k", interval_text(interval, ".1f"), f"{reference + SELF_COLLISION:.1f}"))
    RESULT.write_text(
        "# clip-HAPPO on simple_spread with the physics of PettingZoo 1.22\n\n"
        "Training return, sum over agents and 25 steps: IQM of 10 seeds [95 % bootstrap interval] over the five\n"
        "iterations up to each point, and the value of the authors' implementation (seed 1; + 37.5, the constant that\n"
        "an agent's collision with itself costs there). Made by `python experiments/reference_physics.py`.\n\n"
        + markdown_table(pd.DataFrame(rows, columns=["env steps", "ltro_jax", "reference"]))
    )
    print(RESULT.read_text())


if __name__ == "__main__":
    main()
