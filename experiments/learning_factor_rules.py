"""Remedies for the exploding factor on MPE simple_spread: learning curves and advantage variance with 3 and 8 agents.

    python experiments/learning_factor_rules.py                                # CPU size: 10 seeds, 0.5 M steps
    python experiments/learning_factor_rules.py --total_env_steps 10_000_000   # the paper's length

`--tasks` and `--variants` choose some of them. After Ctrl-C, the same command resumes where it stopped.
Everything but the compared settings is equal, seeds included; A2PO has its own clip, trace and order. Writes
`experiments/results/learning_factor_rules/`: every seed's curves (compressed NumPy arrays), a table, two plots for each
number of agents.
"""

from study import compare

if __name__ == "__main__":
    compare(
        "learning_factor_rules",
        __doc__,
        tasks={
            f"mpe/simple_spread {num_agents} agents": {"total_env_steps": 500_000, "num_agents": num_agents}
            for num_agents in (3, 8)
        },
        variants={
            "clip_happo": {"algorithm": "clip_happo"},
            "happo": {"algorithm": "happo"},
            "per_agent_clamp": {"algorithm": "clip_happo", "factor_rule": "per_agent_clamp"},
            "a2po": {"algorithm": "a2po"},
            "mappo": {"algorithm": "mappo"},
        },
        scores=("eval_return_greedy", "eval_return_sampled", "episode_return"),
        unit="Return: sum over agents and 25 steps.",
        positions=True,
    )
