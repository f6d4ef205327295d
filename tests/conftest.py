"""What all tests share: checked shapes, one compilation cache, light compilation of whole programs, a tiny run."""

import importlib
import os
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import install_import_hook

# The tests check the shapes and dtypes in the annotations of these modules at every call, and forbid implicit rank
# promotion.
CHECKED = ("ops", "distributions", "networks", "algorithms", "training")
install_import_hook([f"ltro_jax.{room}" for room in CHECKED], "beartype.beartype")
jax.config.update("jax_numpy_rank_promotion", "raise")

from ltro_jax import Run, train  # noqa: E402
from ltro_jax.config import Config  # noqa: E402
from ltro_jax.envs.mabrax import MABrax  # noqa: E402
from ltro_jax.envs.mpe import MPE  # noqa: E402
from ltro_jax.envs.smax import SMAX  # noqa: E402
from ltro_jax.parallel import stack_members  # noqa: E402
from ltro_jax.storage import RunDirectory, save_checkpoint  # noqa: E402
from ltro_jax.training import make_train  # noqa: E402

FULLY_OPTIMISED = "LTRO_TEST_OPTIMISED"  # set it to run every test with XLA's usual optimisations

# Programs that run for a moment compile three times faster without it. Newer XLAs do not know the flag.
if jax.__version_info__ < (0, 11) and not os.environ.get(FULLY_OPTIMISED):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_use_fusion_emitters=false".strip()

LIGHTLY_COMPILED = {"networks", "algorithms", "envs", "training", "parallel", "runs", "cli"}
LIGHTLY_COMPILED |= {"reports", "export", "laboratories"}


@pytest.fixture(scope="session", autouse=True)
def compilation_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One directory for this session and the processes it starts; the user's own cache is neither read nor filled."""
    directory = str(tmp_path_factory.mktemp("xla"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LTRO_COMPILATION_CACHE", directory)
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
        jax.config.update("jax_compilation_cache_dir", directory)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
        yield directory


@pytest.fixture(scope="session", autouse=True)
def third_party_rank_promotion() -> Iterator[None]:
    """The environments of JaxMARL and Brax promote ranks; our adapters, which call them, do not."""
    with pytest.MonkeyPatch.context() as patch:
        for adapter, inner in ((SMAX, "_env"), (MPE, "_env"), (MABrax, "_brax")):
            patch.setattr(adapter, "__init__", promoting_within(adapter.__init__, inner))
        yield


def promoting_within(construct: Callable[..., None], inner: str) -> Callable[..., None]:
    """The constructor of an adapter, whose environment `inner` may promote ranks."""

    @wraps(construct)
    def constructed(adapter: Any, *arguments: Any) -> None:
        with jax.numpy_rank_promotion("allow"):
            construct(adapter, *arguments)
        env = getattr(adapter, inner)
        for name in ("reset", "step", "step_env", "get_avail_actions"):
            if hasattr(env, name):
                setattr(env, name, jax.numpy_rank_promotion("allow")(getattr(env, name)))

    return constructed


@pytest.fixture(scope="module", autouse=True)
def light_compilation(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whole programs compile about four times faster without XLA's costly passes, and run half as fast."""
    if request.path.parent.name not in LIGHTLY_COMPILED or os.environ.get(FULLY_OPTIMISED):
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
        jax.config.update("jax_disable_most_optimizations", True)
        yield
        jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture
def full_compilation() -> Iterator[None]:
    """Programs compile as users' do. Light compilation rounds a loop over one member and over several differently."""
    light = jax.config.read("jax_disable_most_optimizations")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("JAX_DISABLE_MOST_OPTIMIZATIONS", raising=False)
        jax.config.update("jax_disable_most_optimizations", False)
        yield
        jax.config.update("jax_disable_most_optimizations", light)


@pytest.fixture(scope="module")
def shared_programs() -> Iterator[None]:
    """Runs of this module with equal settings share one program: tracing it again takes longer than such a run."""
    trains: dict[Any, Any] = {}
    programs: dict[Any, Any] = {}
    train, load, checks, members = (
        importlib.import_module(f"ltro_jax.runs.{name}") for name in ("train", "load", "checks", "evaluate_members")
    )
    make, spread = train.make_train, train.make_member_program

    def shared_train(config: Config) -> Any:
        key = config.static, config.num_iterations, repr(config.hypers), config.run.grid, tuple(sorted(config.given))
        if key not in trains:
            trains[key] = make(config)
        return trains[key]

    def shared_members(program: Any, num_members: int, layout: Any = None) -> Any:
        key = id(program), num_members, layout
        if key not in programs:
            programs[key] = program, spread(program, num_members, layout)  # holds the program, so that its id stays
        return programs[key][1]

    with pytest.MonkeyPatch.context() as patch:
        for module in (train, load, checks):
            patch.setattr(module, "make_train", shared_train)
        for module in (train, members):
            patch.setattr(module, "make_member_program", shared_members)
        yield


TINY = {
    "task": "probe/matching",
    "episode_length": 3,  # episodes reach across rollouts
    "num_envs": 4,
    "rollout_length": 8,
    "hidden_sizes": (8,),
    "actor_epochs": 2,
    "critic_epochs": 2,
    "actor_minibatches": 2,
    "critic_minibatches": 2,
    "eval_episodes": 4,
    "eval_interval": 2,
    "checkpoint_interval": 4,
    "total_env_steps": 8 * 32,
}


@pytest.fixture(scope="session")
def tiny() -> Callable[..., Config]:
    """Settings of a run of 8 iterations that takes a moment; keyword arguments change them, and count as given."""

    def make(**settings: Any) -> Config:
        memory = {"chunk_length": 4} if settings.get("recurrent") else {}
        return Config.stored(TINY | memory).replace(**settings)

    return make


@pytest.fixture(scope="session")
def stored() -> Callable[..., Path]:
    """Writes a run with one checkpoint of random numbers for parameters, which costs no compilation.

    Its best actors are those of half as many iterations.
    """

    def store(config: Config, path: Path, iteration: int = 0) -> Path:
        draw = np.random.default_rng(0)

        def fill(leaf: Any) -> Any:
            if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
                return jax.random.split(jax.random.key(0), leaf.shape)
            drawn = draw.normal(size=leaf.shape) if leaf.dtype == np.float32 else np.zeros(leaf.shape)
            return drawn.astype(leaf.dtype)

        state = jax.eval_shape(jax.vmap(make_train(config).init), *stack_members(config.members))
        state = jax.tree.map(fill, state)
        if state.best is not None:
            state = state.replace(best=state.best.replace(iteration=state.best.iteration + np.int32(iteration // 2)))
        directory = RunDirectory.create(path, config.to_dict())
        save_checkpoint(directory.checkpoints, iteration, state, keep=1)
        return directory.path

    return store


@pytest.fixture(scope="session")
def settings(tiny: Callable[..., Config]) -> Config:
    """Two seeds, 8 iterations in device calls of 2, checkpoints at 4 and 8."""
    return tiny(seeds=(3, 7), actor_lr=0.01)


@pytest.fixture(scope="module")
def finished(settings: Config, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that was never interrupted; not to be changed."""
    path: Path = tmp_path_factory.mktemp("runs") / "finished"
    return train(settings, path, progress=False, command="ltro train ...")
