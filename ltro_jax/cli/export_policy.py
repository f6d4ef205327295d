"""`ltro export-policy`."""

import argparse
from typing import Any

from ltro_jax.cli.options import add_cache_option, add_policy_options, chosen_policy, set_cache
from ltro_jax.process.paths import typed_path


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "export-policy",
        help="write one policy as safetensors with a policy card",
        description="Write the tensors of one seed's policy to DIR/policy.safetensors and a policy card to "
        "DIR/policy.json, which describes the tensors, how to compute an action, and the origin of the policy. "
        "`load_policy(DIR)` and any reader of safetensors can load them. With --best, the card includes an evaluation "
        "on ten times eval_episodes new episodes. Needs the extra 'export'.",
        epilog="example: ltro export-policy runs/spread --seed 3 --best -o spread-policy",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_policy_options(parser)
    parser.add_argument("-o", "--output", type=typed_path, metavar="DIR", required=True, help="new directory")
    add_cache_option(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Export and print the paths."""
    from ltro_jax.export.policy import export_policy

    set_cache(options)
    output = export_policy(options.path, options.output, **chosen_policy(options))
    print(f"exported: {output}/policy.safetensors, described in {output}/policy.json")
    return 0
