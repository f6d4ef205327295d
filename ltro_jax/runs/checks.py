"""The checks before a run writes anything."""

from ltro_jax.config import Config
from ltro_jax.runs.memory import refuse_impossible_size
from ltro_jax.training import Train, make_train
from ltro_jax.training.program import refuse_ill_formed


def checked_program(config: Config) -> Train:
    """Build the training program of `config` and check it; compiles nothing.

    Raises:
        SettingsError: settings contradict each other or do not fit into memory, or the update rule is ill-formed.
    """
    program = make_train(config)
    refuse_ill_formed(program, config.hypers)
    refuse_impossible_size(program, config)
    return program
