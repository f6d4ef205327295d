"""Signals, streams, imports and paths of the process. Needs no JAX."""
