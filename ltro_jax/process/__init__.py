"""What we share with the process we run in, and with whoever started it: signals, streams, imports. Needs no JAX."""
