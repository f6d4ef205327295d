"""ltro_jax."""
