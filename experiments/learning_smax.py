"""clip-HAPPO, HAPPO and MAPPO (independent feed-forward actors) on SMAX 3m.

    python experiments/learning_smax.py                                          # CPU size: 10 seeds × 0.3 M steps
    python experiments/learning_smax.py --tasks smax/27m_vs_30m --total_env_steps 10_000_000   # on a GPU

After Ctrl-C, the same command resumes where it stopped. Everything but the algorithm is equal, seeds included. Writes
`experiments/results/learning_smax/`: every seed's curves (compressed NumPy arrays), a table, a plot for each task.
"""

from study import compare

if __name__ == "__main__":
    compare(
        "learning_smax",
        __doc__,
        tasks={"smax/3m": {"total_env_steps": 300_000}},
        variants={name: {"algorithm": name} for name in ("clip_happo", "happo", "mappo")},
        scores=("eval_win_rate_greedy", "eval_win_rate_sampled", "eval_return_greedy", "win_rate", "episode_return"),
        unit="Return: health taken from the enemy, and 1 for the victory; at most 2.",
    )
