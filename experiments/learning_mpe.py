"""Learning curves of clip-HAPPO, HAPPO, clip-HATRPO, HATRPO and MAPPO on the three continuous MPE tasks of the paper.

    python experiments/learning_mpe.py                                # CPU size: 10 seeds, spread 0.5 M, others 0.25 M
    python experiments/learning_mpe.py --total_env_steps 10_000_000   # the paper's length

`--tasks` and `--variants` select some of them. After Ctrl-C, the same command resumes where it stopped. Within a task
everything but the algorithm is equal, seeds included (each has its hyper-parameters from the paper). Writes
`experiments/results/learning_mpe/`: every seed's curves (compressed NumPy arrays), a table, a plot for each task.
"""

from study import compare

if __name__ == "__main__":
    compare(
        "learning_mpe",
        __doc__,
        tasks={
            "mpe/simple_spread": {"total_env_steps": 500_000},
            "mpe/simple_reference": {"total_env_steps": 250_000},
            "mpe/simple_speaker_listener": {"total_env_steps": 250_000},
        },
        variants={name: {"algorithm": name} for name in ("clip_happo", "happo", "clip_hatrpo", "hatrpo", "mappo")},
        scores=("eval_return_greedy", "eval_return_sampled", "episode_return"),
        unit="Return: sum over agents and 25 steps.",
    )
