"""`ltro theory`: writes all files or none, and no bound is violated."""

import csv

import numpy as np
import pytest
import xarray as xr

from ltro_jax.cli import main

SIZES = "--games 6 --num_states 2 --num_agents 2 --num_actions 2 --agents 2 3 --factor_clips 1 inf".split()
STEPS = "--kl_thresholds 0.001 0.1 --iterations 40 --gap_iterations 40".split()  # one program for both
STUDIES = ("variance", "factor_rules", "improvement", "nash_gap")


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """All four, small."""
    path = tmp_path_factory.mktemp("theory") / "out"
    assert main(["theory", "--quiet", *SIZES, *STEPS, "-o", str(path)]) == 0
    return path


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.timeout(280)
def test_it_writes_plots_tables_and_datasets(studies):
    names = {f"{study}.{suffix}" for study in STUDIES for suffix in ("md", "csv", "nc.gz", "png", "pdf")}
    assert {path.name for path in studies.iterdir()} == names
    assert "6 random games (2, 3 agents, 2 states, 2 actions each" in (studies / "variance.md").read_text()
    assert "of those that have a bound: 0 of 60." in (studies / "variance.md").read_text()
    assert "1440 updates, 0 violations, 0 falls" in (studies / "improvement.md").read_text()


@pytest.mark.timeout(280)
def test_no_bound_is_violated(studies):
    variance, improvement = rows(studies / "variance.csv"), rows(studies / "improvement.csv")
    assert [(row["agents"], row["position"]) for row in variance[:5]] == [*zip("22333", "12123", strict=True)]
    assert len(variance) == 2 * 2 * 5 and all(row["violations"] == "0" for row in variance)
    assert {row["rule"] for row in improvement} == {"c = 1", "c = ∞", "simultaneous"} and len(improvement) == 6
    assert all(row["violations"] == row["falls_where_bound_not_negative"] == "0" for row in improvement)
    assert any(float(row["bound_above_rounding"]) > 0 for row in improvement)


@pytest.mark.timeout(280)
def test_every_weight_of_the_factor_is_measured(studies):
    """R has no bias, and clamps and 1 do; the squared error is bias² + variance / n in each row."""
    table = rows(studies / "factor_rules.csv")
    assert len(table) == 2 * 13 * 5  # step sizes, weights, positions
    last = {row["weight"]: row for row in table if (row["kl_threshold"], row["position"]) == ("0.1", "3")}
    assert len(last) == 13 and last["none"]["parameter"] == "" and last["clamp, c = ∞"]["parameter"] == "inf"
    assert float(last["clamp, c = ∞"]["bias"]) == float(last["self_normalised"]["bias"]) == 0.0
    assert float(last["none"]["bias"]) < float(last["clamp, c = 1"]["bias"]) < -1e-3
    assert float(last["clamp, c = 1"]["standard_deviation"]) < float(last["clamp, c = ∞"]["standard_deviation"])
    moments = xr.load_dataset(studies / "factor_rules.nc.gz")
    error = moments["bias"] ** 2 + moments["variance"] / 100
    exact = error.sel(kl_threshold=0.1, weight="none").isel(place=-1)
    assert float(last["none"]["mse_100_low"]) <= np.median(exact) <= float(last["none"]["mse_100_high"])
    assert "| 0.1 | 3 |" in (studies / "factor_rules.md").read_text()


@pytest.mark.timeout(280)
def test_datasets_can_be_opened(studies):
    """Labelled, and with the values of the tables."""
    gap = xr.load_dataset(studies / "nash_gap.nc.gz")
    assert dict(gap["gap"].sizes) == {"agent_update": 2, "rule": 3, "game": 6, "iteration": gap.sizes["iteration"]}
    assert gap["iteration"].values[[0, -1]].tolist() == [1, 40] and gap.attrs["learning_rate"] == 10.0
    (row,) = (
        row
        for row in rows(studies / "nash_gap.csv")
        if (row["agent_update"], row["rule"]) == ("trust_region_step", "c = ∞")
    )
    last = gap["gap"].sel(agent_update="trust_region_step", rule="c = ∞", iteration=40)
    np.testing.assert_allclose(float(row["median_gap"]), np.median(last), rtol=1e-6, atol=1e-12)
    assert float(row["slope"]) < -1
    moments = xr.load_dataset(studies / "variance.nc.gz")
    assert dict(moments["variance"].sizes) == {"kl_threshold": 2, "factor_clip": 2, "game": 6, "place": 5}


@pytest.mark.timeout(120)
def test_it_prints_its_reports(studies, tmp_path, capsys):
    assert main(["theory", "--studies", "variance", *SIZES, "-o", str(tmp_path)]) == 0
    output = capsys.readouterr().out
    assert output.startswith("variance: 2 agents\nvariance: 3 agents\n# Advantage variance, exactly\n")
    assert output.endswith(f"5 files in {tmp_path}\n")
    assert [path.name for path in tmp_path.glob("*.csv")] == ["variance.csv"]


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        ("--games 1", "games = 1 must be at least 2"),
        ("--gamma 1", "gamma = 1 must be at least 0 and less than 1"),
        ("--factor_clips 1 0", "factor_clips = 1 0 must be distinct numbers above 0"),
        ("--factor_clips nan", "factor_clips = nan must be distinct numbers above 0"),
        ("--factor_epsilons 0", "factor_epsilons = 0 must be distinct numbers above 0"),
        ("--factor_powers 0.5 -1", "factor_powers = 0.5 -1 must be distinct finite numbers of at least 0"),
        ("--num_samples 10 10", "num_samples = 10 10 must be distinct numbers above 0"),
        ("--kl_thresholds 0.1 0.1", "kl_thresholds = 0.1 0.1 must be distinct numbers above 0"),
        ("--kl_thresholds inf", "kl_thresholds must be finite"),
        ("--agents 3", "agents = 3 is one number; the growth with the number of agents needs at least 2"),
        ("--agents 2 90", "games of more than 20 agents are too large to enumerate"),
        ("--num_agents 12", "100 games of 12 agents with 3 actions in 4 states for 1000 iterations need about "),
        ("--learning_rate nan", "learning_rate = nan must be a number above 0"),
        ("--seed 3000000000", "seed = 3000000000 must be at most 2147483647"),
        ("--gap_iterations 9", "gap_iterations = 9 must be at least 10"),
        ("--nosuch 1", "unknown option '--nosuch'"),
    ],
)
def test_what_it_refuses_leaves_nothing(arguments, sentence, tmp_path, capsys):
    assert main(["theory", *arguments.split(), "-o", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith(f"ltro: {sentence}")
    assert not (tmp_path / "out").exists()


def test_an_unknown_study_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["theory", "--studies", "gap", "-o", str(tmp_path / "out")])
    assert exit_.value.code == 2 and "invalid choice: 'gap'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
