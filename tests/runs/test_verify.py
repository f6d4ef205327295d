"""Bands: a recorded band is loaded unchanged, and a score outside it is reported."""

import importlib
import json

import numpy as np
import pytest

from ltro_jax import RunError, SettingsError, load_preset
from ltro_jax.analysis.statistics import iqm, repetition_band
from ltro_jax.cli import main
from ltro_jax.presets.bands import list_bands, load_band
from ltro_jax.presets.published import Published
from ltro_jax.runs.scoring import member_scores
from ltro_jax.runs.verify import Band, compare, record, verify_published

module = importlib.import_module("ltro_jax.runs.verify")
METRIC = "eval_return_greedy"


@pytest.fixture(scope="module")
def band(finished, tmp_path_factory) -> Band:
    file = record(finished, {"seeds": "3,7"}, METRIC, tmp_path_factory.mktemp("presets"))
    return Band(**json.loads(file.read_text())["clip_happo"])


def test_what_is_recorded_is_found_again(finished, band):
    found = compare(band, finished)
    assert found.passed and found.equal_members == 2 and not found.differences
    assert band.scores == pytest.approx(member_scores(finished.metrics, METRIC), rel=1e-6)
    assert band.low <= band.iqm <= band.high


def test_outside_is_outside_and_says_what_differs(finished, band):
    shifted = band._replace(low=band.high + 1, high=band.high + 2, recorded=band.recorded | {"jax": "0.1"})
    found = compare(shifted, finished)
    assert not found.passed and found.differences == [
        f"jax {finished.directory.environment['packages']['jax']} instead of 0.1"
    ]
    assert not compare(band._replace(low=float("nan")), finished).passed


def test_the_command_compares_a_run_of_the_preset(finished, band, monkeypatch, capsys):
    monkeypatch.setattr(module, "load_preset", lambda *_, **__: finished.config)
    monkeypatch.setattr(module, "load_band", lambda *_: band)
    assert main(["verify", "probe/matching", "--quiet", "-o", str(finished.path)]) == 0
    assert "2 of 2 members score as recorded\nverified" in capsys.readouterr().out
    monkeypatch.setattr(module, "load_band", lambda *_: band._replace(low=1e6, high=2e6))
    assert main(["verify", "probe/matching", "--quiet", "-o", str(finished.path)]) == 1
    assert "NOT verified" in capsys.readouterr().out


def test_the_distance_to_published_values(finished, monkeypatch, capsys):
    values = [
        Published("probe/matching", name, value, {}, "episode return", 10_000, "A paper", "table")
        for name, value in (("happo", 2.0), ("mappo", -1.5))
    ]
    monkeypatch.setattr(module, "load_preset", lambda *_, **__: finished.config)
    monkeypatch.setattr(module, "comparable_values", lambda settings: values if "task" in settings else [])
    result = verify_published("probe/matching", out=finished.path, progress=False)
    assert result.metric == METRIC and result.iqm == pytest.approx(iqm(member_scores(finished.metrics, METRIC)))
    assert [result.distance(value) for value in values] == pytest.approx([result.iqm - 2.0, result.iqm + 1.5])
    assert main(["verify", "probe/matching", "--published", "--quiet", "-o", str(finished.path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("greedy evaluation return") and " of 2 seeds, " in lines[0]
    assert lines[1] == f"  measured   clip_happo {result.iqm:.5g}"
    assert lines[2] == (f"  published  happo 2 after 10,000 env steps (measured − published = {result.iqm - 2:+.5g})")
    assert lines[4:] == ["  source     A paper, table"]


def test_a_preset_without_published_values():
    with pytest.raises(SettingsError) as error:
        verify_published("mpe/simple_spread")
    assert str(error.value).startswith(
        "nothing is published in the unit of the returns of mpe/simple_spread; choose one of "
    )
    assert "mpe_paper/simple_spread" in str(error.value) and "smax" not in str(error.value)


def test_what_has_no_band_is_refused(finished, tmp_path, capsys):
    with pytest.raises(
        SettingsError, match="nothing is recorded for mpe/simple_spread with algorithm = 'ppo'; choose one of"
    ):
        load_band("mpe/simple_spread", "ppo")
    assert main(["verify", "mpe/nothing"]) == 2
    finished.metrics[METRIC].values[0, -1], kept = np.nan, finished.metrics[METRIC].values[0, -1]
    with pytest.raises(RunError, match="became non-finite"):
        record(finished, {}, METRIC, tmp_path)
    finished.metrics[METRIC].values[0, -1] = kept


@pytest.mark.parametrize("task, algorithm", list_bands())
def test_committed_bands_are_of_presets(task, algorithm):
    band = load_band(task, algorithm)
    config = load_preset(task, algorithm, **band.settings)
    assert len(config.members) == len(band.scores) >= (10 if task.startswith("mpe/") else 3)
    assert iqm(band.scores) == pytest.approx(band.iqm, rel=1e-5) and band.low < band.iqm < band.high
    assert set(band.recorded) >= {"date", "python", "device", "ltro_jax", "jax", "jaxmarl"}


def test_repetitions_fall_into_the_band():
    """Of repetitions 99 % do; of trainings that are off by three standard deviations of a seed hardly any."""
    generator = np.random.default_rng(0)
    bands = [repetition_band(generator.normal(size=10)) for _ in range(200)]
    inside = [low <= iqm(generator.normal(size=10)) <= high for low, high in bands]
    assert np.mean(inside) > 0.95
    worse = [low <= iqm(generator.normal(size=10) - 3) <= high for low, high in bands]
    assert np.mean(worse) < 0.05
