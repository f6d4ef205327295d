"""How does the clamp c of the factor affect learning and to the advantage variance? c = 0.5, 1, 2 and ∞ (HAPPO).

    python experiments/factor_clip_ablation.py                               # CPU size: 10 seeds, N = 3 and N = 8
    python experiments/factor_clip_ablation.py --total_env_steps 10_000_000  # the paper's length

After Ctrl-C, the same command resumes where it stopped. Everything but c is equal, seeds included (the paper's settings
of simple_spread). Writes `experiments/results/factor_clip_ablation/`: every seed's curves (compressed NumPy arrays), a
table, and two plots for each number of agents.
"""

from study import compare

if __name__ == "__main__":
    compare(
        "factor_clip_ablation",
        __doc__,
        tasks={
            "mpe/simple_spread N=3": {"num_agents": 3, "total_env_steps": 200_000},
            "mpe/simple_spread N=8": {"num_agents": 8, "total_env_steps": 100_000},
        },
        variants={f"c={clip}": {"algorithm": "clip_happo", "factor_clip": clip} for clip in ("0.5", "1", "2", "inf")},
        scores=("eval_return_greedy", "eval_return_sampled", "episode_return"),
        unit="Return: sum over agents and 25 steps.",
        positions=True,
    )
