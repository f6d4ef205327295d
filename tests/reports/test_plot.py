"""The plot of runs: the values drawn, the labels, the file, and what is rejected."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from fake_run import write_run
from matplotlib.axes import Axes

from ltro_jax import RunError, SettingsError, load_run, load_sweep, plot
from ltro_jax.analysis.statistics import iqm


@pytest.fixture
def run(tiny, tmp_path) -> Path:
    """Three seeds, 16 iterations, an evaluation after every second one."""
    return write_run(tmp_path / "run", tiny(seeds="0:3", total_env_steps=16 * 32))


def drawn(axes: Axes) -> dict[str, np.ndarray]:
    """Label → points `[P, 2]` of the labelled lines."""
    lines = [line for line in axes.lines if not str(line.get_label()).startswith("_")]
    return {str(line.get_label()): np.asarray(line.get_xydata()) for line in lines}


def expected(curve: xr.DataArray) -> np.ndarray:
    """IQM over members against environment steps, `[P, 2]`."""
    return np.stack([curve.env_steps.values, iqm(curve.transpose("member", "iteration").values.astype(float))], -1)


def test_the_default_is_the_greedy_evaluation_where_there_is_one(run, tiny, tmp_path):
    figure = plot(run)
    evaluations = load_run(run).metrics["eval_return_greedy"].dropna("iteration")
    assert evaluations.sizes["iteration"] == 8
    (axes,) = figure.axes
    np.testing.assert_array_equal(drawn(axes)["clip_happo (3 seeds)"], expected(evaluations))
    assert (axes.get_ylabel(), axes.get_title()) == ("greedy evaluation return", "probe/matching")
    without = write_run(tmp_path / "without", tiny(algorithm="mappo"), without=("eval_return_greedy",))
    assert plot([run, without]).axes[0].get_ylabel() == "episode return"


def test_smoothing_is_a_trailing_mean_of_recorded_values(run):
    (axes,) = plot(load_run(run), smoothing=3).axes
    evaluations = load_run(run).metrics["eval_return_greedy"].dropna("iteration").astype(float)
    values, steps = evaluations.values, evaluations.env_steps.values
    means = np.stack([values[:, k - 3 : k].mean(1) for k in range(3, 9)], 1)
    np.testing.assert_array_equal(drawn(axes)["clip_happo (3 seeds)"][:, 0], steps[2:])
    np.testing.assert_allclose(drawn(axes)["clip_happo (3 seeds)"][:, 1], iqm(means), rtol=1e-6)


def test_each_run_and_point_is_one_curve(run, tiny, tmp_path):
    grid = write_run(tmp_path / "grid", tiny(seeds="0:2", grid={"actor_lr": [0.1, 0.2]}), level=2.0)
    other = write_run(tmp_path / "other", tiny(algorithm="mappo", seeds="0:2"), level=3.0)
    (axes,) = plot([run, load_run(grid), str(other), run], "episode_return").axes
    points = load_run(grid).by_point()
    curves = {
        f"clip_happo ({run}) (3 seeds)": load_run(run).metrics,
        f"clip_happo ({grid}) actor_lr=0.1 (2 seeds)": points["actor_lr=0.1"],
        f"clip_happo ({grid}) actor_lr=0.2 (2 seeds)": points["actor_lr=0.2"],
        "mappo (2 seeds)": load_run(other).metrics,
    }
    assert list(drawn(axes)) == list(curves)
    for label, metrics in curves.items():
        np.testing.assert_array_equal(drawn(axes)[label], expected(metrics["episode_return"]))


def test_positions_have_panels_and_agents_have_curves(run):
    metrics = load_run(run).metrics
    panels = plot(run, "adv_variance_used").axes
    assert [axes.get_title() for axes in panels] == ["position 1", "position 2"]
    for position, axes in enumerate(panels):
        curve = metrics["adv_variance_used"].sel(position=position)
        np.testing.assert_array_equal(drawn(axes)["clip_happo (3 seeds)"], expected(curve))
    (axes,) = plot(run, "entropy").axes
    assert list(drawn(axes)) == ["clip_happo ann (3 seeds)", "clip_happo bob (3 seeds)"]
    bob = metrics["entropy"].sel(agent="bob")
    np.testing.assert_array_equal(drawn(axes)["clip_happo bob (3 seeds)"], expected(bob))


def test_a_sweep_is_plotted_by_its_parts(tiny, tmp_path):
    parts = {name: tiny(agent_order=name) for name in ("random", "fixed")}
    settings = {name: config.to_dict() for name, config in parts.items()}
    (tmp_path / "sweep.json").write_text(json.dumps({"format_version": 1, "command": None, "parts": settings}))
    write_run(tmp_path / "fixed", parts["fixed"])
    (axes,) = plot(load_sweep(tmp_path)).axes
    assert list(drawn(axes)) == ["clip_happo (1 seed)"]
    assert not (tmp_path / "random").exists()


def test_the_file_is_whole_and_in_a_new_directory(run, tmp_path):
    figure = plot(run, output=tmp_path / "deep" / "plot.pdf")
    assert (tmp_path / "deep" / "plot.pdf").read_bytes().startswith(b"%PDF")
    assert list((tmp_path / "deep").iterdir()) == [tmp_path / "deep" / "plot.pdf"]
    assert len(figure.axes) == 1
    with pytest.raises(RunError, match=r"cannot write .*: File exists; choose another file"):
        plot(run, output=run / "settings.json" / "plot.png")


def test_runs_that_cannot_be_plotted(run, tiny, tmp_path):
    with pytest.raises(SettingsError, match=r"metric = 'entrop' is unknown; did you mean entropy\?"):
        plot(run, "entrop")
    with pytest.raises(SettingsError, match=r"output = .*a\.jpg is not a \.png or \.pdf file; choose another name"):
        plot(run, output=tmp_path / "a.jpg")
    for smoothing in (0, 1.5, True):
        with pytest.raises(SettingsError, match=f"smoothing = {smoothing} is not allowed; it must be a whole number"):
            plot(run, smoothing=smoothing)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="smoothing = 9 is more than the 8 recorded values; choose less"):
        plot(run, smoothing=9)
    early = write_run(tmp_path / "early", tiny(), iterations=1)
    with pytest.raises(SettingsError, match="metric = eval_return_greedy cannot be plotted: 'clip_happo' has no value"):
        plot(early)
    empty = write_run(tmp_path / "empty", tiny(), iterations=0)
    with pytest.raises(RunError, match="has no iteration yet; train it with `ltro resume"):
        plot(empty)
    with pytest.raises(RunError, match="no run is given"):
        plot([])
    climbing = write_run(tmp_path / "climbing", tiny(task="probe/climbing"))
    with pytest.raises(RunError, match=r"tasks \(probe/climbing, probe/matching\); plot each task separately"):
        plot([run, climbing])
