"""Special cases that must coincide: one agent, and agents padded to a common size."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from comparing import assert_close

from ltro_jax import Config, make_train


def after_two_iterations(config: Config, seed: int = 4) -> Any:
    train = make_train(config.replace(actor_minibatches=1, critic_minibatches=1))
    hypers = jax.tree.map(jnp.float32, config.hypers)
    state = jax.jit(train.init)(seed, hypers)
    iterate = jax.jit(train.iterate)
    state, _ = iterate(state, hypers)
    return iterate(state, hypers)


def test_with_one_agent_all_central_algorithms_are_ppo(tiny):
    results = {name: after_two_iterations(tiny(num_agents=1, algorithm=name)) for name in ("clip_happo", "mappo")}
    hypers = {"factor_clip": float("inf")}
    results["happo"] = after_two_iterations(tiny(num_agents=1, algorithm="happo", **hypers))
    state, metrics = results["clip_happo"]
    assert int(state.iteration) == 2
    for name in ("happo", "mappo"):
        assert_close(results[name][0], state)
        assert_close(results[name][1].scalar, metrics.scalar)
        assert_close(results[name][1].agent, metrics.agent)


def test_the_padding_of_unlike_agents_is_never_trained(tiny):
    """The speaker sees 3 of 11 entries and has 3 of 5 actions: what belongs to the rest stays zero."""
    config = tiny(task="mpe/simple_speaker_listener", algorithm="ippo", episode_length=5, actor_lr=0.01)
    state, metrics = after_two_iterations(config)
    assert int(state.failed_at) == -1
    for rows in (metrics.scalar, metrics.agent, metrics.position):
        assert all(np.isfinite(leaf).all() for leaf in rows.values())
    actor, critic = state.agents.params["params"], state.critic.params["params"]
    for network in (actor, critic):
        kernel = network["body"]["dense_0"]["kernel"]
        assert kernel.shape[:2] == (2, 11)
        assert (kernel[0, 3:] == 0).all() and (kernel[1] != 0).all() and (kernel[0, :3] != 0).all()
        assert (network["body"]["input_norm"]["bias"][0, 3:] == 0).all()
        assert (network["body"]["input_norm"]["scale"][0, 3:] == 1).all()
    assert (actor["head"]["kernel"][0, :, 3:] == 0).all() and (actor["head"]["bias"][0, 3:] == 0).all()
    assert (actor["head"]["bias"][1] != 0).all()
    assert (actor["log_std"][0, 3:] == actor["log_std"][0, 3]).all() and (actor["log_std"][0, :3] != 1).all()
