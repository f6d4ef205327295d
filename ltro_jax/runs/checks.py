"""What is checked before a run writes anything."""

from ltro_jax.config import Config
from ltro_jax.runs.memory import refuse_impossible_size
from ltro_jax.training import Train, make_train
from ltro_jax.training.program import refuse_ill_formed


def checked_program(config: Config) -> Train:
    """The training program of `config`, of which nothing is compiled yet.

    Raises:
        SettingsError: settings that do not fit together or into memory, or an update rule that does not fit.
    """
    program = make_train(config)
    refuse_ill_formed(program, config.hypers)
    refuse_impossible_size(program, config)
    return program
