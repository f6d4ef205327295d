"""`ltro export-policy`."""

import argparse
from typing import Any

from ltro_jax.cli.options import add_cache_option, add_policy_options, chosen_policy, set_cache
from ltro_jax.process.paths import typed_path


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "export-policy",
        help="write one policy as safetensors with a card",
        description="DIR/policy.safetensors has the tensors of one seed's policy; DIR/policy.json says what they are, "
        "how an action comes from them, and where they come from. `load_policy(DIR)` reads them, and so does anything "
        "that reads safetensors. With --best the card has an evaluation of it on ten times eval_episodes new episodes. "
        "Needs the extra 'export'.",
        epilog="example: ltro export-policy runs/spread --seed 3 --best -o spread-policy",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_policy_options(parser)
    parser.add_argument("-o", "--output", type=typed_path, metavar="DIR", required=True, help="new directory")
    add_cache_option(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Export and say where the files are."""
    from ltro_jax.export.policy import export_policy

    set_cache(options)
    output = export_policy(options.path, options.output, **chosen_policy(options))
    print(f"exported: {output}/policy.safetensors, described in {output}/policy.json")
    return 0
