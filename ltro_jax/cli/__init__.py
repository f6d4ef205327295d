"""The command line: parsing and printing only. Commands import dependencies when they run; help does not load JAX."""

from ltro_jax.cli.main import main

__all__ = ["main"]
