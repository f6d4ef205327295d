"""The command line: parsing and printing only. A command imports what it needs when it runs: help needs no JAX."""

from ltro_jax.cli.main import main

__all__ = ["main"]
