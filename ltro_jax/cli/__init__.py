"""The command line: parsing and printing only."""

from ltro_jax.cli.main import main

__all__ = ["main"]
