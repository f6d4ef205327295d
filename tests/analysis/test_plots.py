"""Plots: lines and bands have the expected values, missing values are left out, saved files are complete."""

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imread

from ltro_jax.analysis.plots import count_curves, default_lines, learning_curves, position_curves, save_figure, svg
from ltro_jax.analysis.statistics import iqm, iqm_interval
from ltro_jax.analysis.style import COLOURS, LINES


def curve(members: int = 3, iterations: int = 12, positions: int | None = None) -> xr.DataArray:
    shape = (members, iterations) if positions is None else (members, iterations, positions)
    return xr.DataArray(
        np.random.default_rng(0).normal(size=shape).cumsum(1),
        dims=("member", "iteration", "position")[: len(shape)],
        coords={"env_steps": ("iteration", 4000 * np.arange(1, iterations + 1))},
    )


def bands(axes) -> list:
    return [artist for artist in axes.collections if isinstance(artist, PolyCollection)]


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def learning(curves, **options) -> Figure:
    return learning_curves(curves, ylabel="return", title="probe", **options)


def position(data, **options) -> Figure:
    return position_curves(data, ylabel="factor", title="probe", **options)


def test_lines_bands_and_legend():
    figure = learning({"HAPPO": curve(3), "MAPPO": curve(2)}, baseline={"random policy": -1.0})
    (axes,) = figure.axes
    assert len(axes.lines) == (3 + 1) + (2 + 1) + 1
    assert len(bands(axes)) == 2
    assert legend(figure) == ["HAPPO (3 seeds)", "MAPPO (2 seeds)", "random policy"]
    np.testing.assert_array_equal(axes.lines[-1].get_ydata(), [-1.0, -1.0])


def test_line_is_the_iqm_and_band_its_interval():
    data = curve(5)
    (axes,) = learning({"HAPPO": data}, show_seeds=False).axes
    (line,), (band,) = axes.lines, bands(axes)
    np.testing.assert_array_equal(line.get_xdata(), data.env_steps)
    np.testing.assert_array_equal(line.get_ydata(), iqm(data.values))
    _, low, high = iqm_interval(data.values)
    extent = band.get_paths()[0].get_extents()
    np.testing.assert_allclose((extent.y0, extent.y1), (low.min(), high.max()))


def test_single_member_has_no_band():
    figure = learning({"HAPPO": curve(1)})
    assert len(figure.axes[0].lines) == 1
    assert not bands(figure.axes[0])
    assert legend(figure) == ["HAPPO (1 seed)"]


def test_many_members_have_no_separate_lines():
    assert len(learning({"HAPPO": curve(17)}).axes[0].lines) == 1


def test_iterations_without_evaluation_are_dropped():
    data = curve(3)
    data[:, 1::2] = np.nan
    data[0, 4] = np.nan  # evaluated, but one member diverged: a gap, not a quiet mean of the others
    line = learning({"HAPPO": data}, show_seeds=False).axes[0].lines[0]
    np.testing.assert_array_equal(line.get_xdata(), data.env_steps[::2])
    np.testing.assert_array_equal(np.isnan(line.get_ydata()), [False, False, True, False, False, False])


def test_order_of_dims_does_not_matter():
    first, second = (learning({"HAPPO": data}).axes[0].lines for data in (curve(), curve().T))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.get_xydata(), b.get_xydata())


def test_environment_steps_have_readable_units():
    ticks = learning({"HAPPO": curve()}).axes[0].xaxis.get_major_formatter()
    assert [ticks(value) for value in (0, 20_000, 2_500_000)] == ["0", "20k", "2.5M"]


def test_colours_differ_and_never_run_out():
    lines = learning({f"run {i}": curve(1) for i in range(10)}).axes[0].lines
    assert [line.get_color() for line in lines] == [*COLOURS, *COLOURS[:2]] and len(set(COLOURS)) == 8
    assert len(set(LINES)) == len(LINES) == 32
    assert all(one[0] != other[0] and one[1] != other[1] for one, other in pairwise(LINES))  # distinct in grey, too


def test_a_label_keeps_its_line_and_a_failed_member_ends_in_a_cross():
    data = curve(3)
    data[1, 5:] = np.nan
    figure = learning(
        {"HATRPO": data[[0, 2]]},
        failed={"HATRPO": data[[1]]},
        lines=default_lines(["HAPPO", "HATRPO"]),
        show_seeds=False,
    )
    line, faint, cross, entry = figure.axes[0].lines
    assert (line.get_color(), faint.get_color(), cross.get_color()) == (COLOURS[1],) * 3
    assert cross.get_marker() == entry.get_marker() == "X"
    np.testing.assert_array_equal(cross.get_xydata(), [[data.env_steps[4], data[1, 4]]])
    assert legend(figure) == ["HATRPO (2 seeds)", "became non-finite"]


def test_long_labels_stand_below_one_another_and_the_figure_grows():
    short, long = (learning({f"{name} {i}": curve(1) for i in range(4)}) for name in ("a", "a" * 60))
    assert long.get_figheight() - short.get_figheight() == pytest.approx(0.4)  # four rows of one, two rows of two


def test_svg_is_the_same_each_time():
    first, second = (svg(learning({"HAPPO": curve()})) for _ in range(2))
    assert first == second and b"<text" not in first  # needs no font


def test_one_panel_per_position():
    figure = position({"HAPPO": curve(3, positions=5), "HATRPO": curve(1, positions=5)}, log=True)
    panels = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title() for axes in panels] == [f"position {i}" for i in range(1, 6)]
    assert all(len(axes.lines) == 2 and len(bands(axes)) == 1 for axes in panels)
    assert {axes.get_gridspec().ncols for axes in panels} == {4}  # type: ignore[union-attr]
    assert {axes.get_yscale() for axes in panels} == {"log"}
    assert legend(figure) == ["HAPPO (3 seeds)", "HATRPO (1 seed)"]


def test_one_panel_per_agent():
    data = curve(2, positions=2).rename(position="agent").assign_coords(agent=["ann", "bob"])
    figure = position({"HAPPO": data}, panels="agent")
    assert [axes.get_title() for axes in figure.axes] == ["ann", "bob"]
    some = position({"HAPPO": curve(2, positions=5).assign_coords(position=np.arange(5)).isel(position=[0, 4])})
    assert [axes.get_title() for axes in some.axes] == ["position 1", "position 5"]


def test_window_is_a_trailing_mean():
    data = curve(1, iterations=5, positions=1)
    data[0, :, 0] = [0.0, 2.0, 4.0, np.nan, 12.0]
    line = position({"HAPPO": data}, window=2).axes[0].lines[0]
    np.testing.assert_array_equal(line.get_xydata(), [[8000, 1], [12000, 3], [20000, 8]])


def test_a_position_without_values_leaves_its_panel_empty():
    data = curve(3, positions=2)
    data[:, :, 0] = np.nan
    figure = position({"HAPPO": data})
    assert [len(axes.lines) for axes in figure.axes] == [0, 1]
    assert legend(figure) == ["HAPPO (3 seeds)"]


@pytest.mark.parametrize("name", ["a.png", "a.pdf"])
def test_save_writes_the_same_bytes_in_new_folders(tmp_path, name):
    figure = learning({"HAPPO": curve()})
    path = save_figure(figure, tmp_path / "plots" / "deep" / name)
    content = path.read_bytes()
    assert save_figure(figure, path).read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_a_saved_picture_shows_the_curve(tmp_path):
    """Full size, with pixels in the colour of the curve and, without a curve, none."""
    colour = to_rgb(COLOURS[0])
    for shown in (True, False):
        figure = learning({"HAPPO": curve(1)})
        if not shown:
            figure.axes[0].lines[0].remove()
            figure.legends[0].remove()
        picture = imread(save_figure(figure, tmp_path / "a.png"))
        width, height = figure.get_size_inches()
        assert picture.shape[:2] == (round(150 * height), round(150 * width))
        pixels = (np.abs(picture[..., :3] - colour).max(-1) < 0.01).sum()
        assert (pixels > 500) == shown


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    def fail(self, path, **options):
        path.write_text("half")
        raise OSError("disk full")

    path = tmp_path / "a.png"
    path.write_text("old")
    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        save_figure(Figure(), path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_refusals(tmp_path):
    with pytest.raises(ValueError, match="at least one named curve"):
        learning({})
    with pytest.raises(ValueError, match="'HAPPO' needs dims"):
        learning({"HAPPO": curve().rename(member="seed")})
    with pytest.raises(ValueError, match="coordinate 'env_steps'"):
        learning({"HAPPO": curve().drop_vars("env_steps")})
    with pytest.raises(ValueError, match="'HAPPO' has no value to draw"):
        learning({"HAPPO": curve() * np.nan})
    with pytest.raises(ValueError, match="position counts differ"):
        position({"a": curve(positions=2), "b": curve(positions=3)})
    with pytest.raises(ValueError, match="window = 13 does not fit"):
        position({"a": curve(positions=2)}, window=13)
    with pytest.raises(ValueError, match=r"\.png or \.pdf"):
        save_figure(Figure(), tmp_path / "a.jpg")


def test_importing_leaves_the_backend_alone():
    code = (
        "import sys, ltro_jax.analysis.plots, matplotlib;"
        "assert 'matplotlib.pyplot' not in sys.modules;"
        "assert matplotlib.rcParams == matplotlib.rcParamsOrig"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.filterwarnings("error")
def test_infinite_values_leave_a_gap(tmp_path):
    """Of an overflow: the line is interrupted, the axes keep to what is finite."""
    values = np.arange(1.0, 25.0).reshape(2, 6, 2)
    values[:, 2, 1] = np.inf
    coordinates = {"env_steps": ("iteration", np.arange(6)), "position": [0, 1]}
    data = xr.DataArray(values, dims=("member", "iteration", "position"), coords=coordinates)
    for log in (False, True):
        figure = position_curves({"x": data}, ylabel="y", title="t", log=log, window=2)
        assert figure.axes[1].get_ylim()[1] < 100
        save_figure(figure, tmp_path / "x.png")
    figure = count_curves({"x": ([1, 2, 3], values[:, 1:4, 1])}, xlabel="x", ylabel="y", title="t")
    assert figure.axes[0].get_ylim()[1] < 100
    save_figure(figure, tmp_path / "y.png")
