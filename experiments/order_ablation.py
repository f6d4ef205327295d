"""Does the order of the agents matter? A new random permutation in each iteration against 1 … N.

    python experiments/order_ablation.py                               # CPU size: 10 seeds × 0.1 M steps, N = 8
    python experiments/order_ablation.py --total_env_steps 10_000_000  # the paper's length

After Ctrl-C, the same command resumes where it stopped. Everything but the order and the clamp c (∞: HAPPO) is equal,
seeds included (the paper's settings of simple_spread). Writes `experiments/results/order_ablation/`: every seed's
curves (compressed NumPy arrays), a table, and two plots.
"""

from study import compare

if __name__ == "__main__":
    compare(
        "order_ablation",
        __doc__,
        tasks={"mpe/simple_spread N=8": {"num_agents": 8, "total_env_steps": 100_000}},
        variants={
            f"c={clip} {order}": {"algorithm": "clip_happo", "factor_clip": clip, "agent_order": order}
            for clip in ("1", "inf")
            for order in ("random", "fixed")
        },
        scores=("eval_return_greedy", "eval_return_sampled", "episode_return"),
        unit="Return: sum over agents and 25 steps.",
        positions=True,
    )
