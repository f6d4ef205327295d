"""Replay of golden files: one function per kind of file recomputes its outputs with ltro_jax."""
