"""Reports: what is in the page is what the statistics say, and what cannot be reported is refused whole."""

import base64
import importlib
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from fake_run import made_up, write_run

from ltro_jax import RunError, SettingsError, load_preset, load_run, report
from ltro_jax.reports.comparison import Comparison, interval_text, notes, share
from ltro_jax.reports.estimates import aggregates, mean_probability_of_improvement, normalised
from ltro_jax.reports.page import Page
from ltro_jax.reports.series import chosen_metric, gather, not_started
from ltro_jax.reports.training import by_agent
from ltro_jax.runs.scoring import end_scores
from ltro_jax.runs.sweep import Sweep, open_runs
from ltro_jax.runs.sweep_results import member_rows, summary

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SECTIONS = "runs learning-curves final-scores profiles improvement efficiency variance agents failures time".split()


class Reader(HTMLParser):
    """Collects what a page holds."""

    def __init__(self, text: str):
        super().__init__()
        self.ids: list[str] = []
        self.open: list[str] = []
        self.images: list[dict[str, str]] = []
        self.addresses: list[str] = []
        self.tables: dict[str, list[list[list[str]]]] = {}  # section → tables → rows → cells
        self.section = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attributes = {name: value or "" for name, value in attrs}
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.addresses += [attributes[name] for name in ("src", "href", "xlink:href", "data") if name in attributes]
        self.section = attributes["id"] if tag == "section" else self.section
        if tag not in ("meta", "img", "wbr", "link"):
            self.open.append(tag)
        assert tag not in ("script", "link", "iframe")
        if tag == "img":
            self.images.append(attributes)
        elif tag == "table":
            self.tables.setdefault(self.section, []).append([])
        elif tag == "tr":
            self.tables[self.section][-1].append([])
        elif tag in ("td", "th"):
            self.tables[self.section][-1][-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.tables[self.section][-1][-1][-1] += data


@pytest.fixture(scope="module")
def runs(tiny, tmp_path_factory) -> dict[str, Path]:
    """Two algorithms on two tasks, of which a seed failed and one has a second run; a short one of one seed besides."""
    path = tmp_path_factory.mktemp("runs")
    settings = {"seeds": "0:4", "total_env_steps": 16 * 32}
    matching = {name: tiny(algorithm=name, **settings) for name in ("happo", "clip_happo")}
    climbing = {name: tiny(algorithm=name, task="probe/climbing", **settings) for name in matching}
    return {
        "happo": write_run(path / "happo", matching["happo"], level=1.0, failed={2: 7}),
        "clip": write_run(path / "clip", matching["clip_happo"], level=1.2),
        "clip_more": write_run(path / "clip_more", matching["clip_happo"].replace(seeds="4,6"), level=1.3),
        "happo_climbing": write_run(path / "happo_climbing", climbing["happo"], level=5.0),
        "clip_climbing": write_run(path / "clip_climbing", climbing["clip_happo"], level=4.9, command=None),
        "mappo_climbing": write_run(
            path / "mappo", climbing["happo"].replace(algorithm="mappo", seeds="9"), iterations=8, level=5.1
        ),
    }


@pytest.fixture(scope="module")
def page(runs, tmp_path_factory) -> Path:
    return report(runs.values(), tmp_path_factory.mktemp("report") / "x.html", title="A < B & C")


@pytest.fixture(scope="module")
def read(page) -> Reader:
    return Reader(page.read_text())


def scores(*paths: Path, leave_out: tuple[int, ...] = ()) -> np.ndarray:
    """Means of the last fifth of the evaluations, straight from the files."""
    found = []
    for path in paths:
        metrics = xr.load_dataset(next((path / "metrics").glob("*.nc")), engine="scipy")
        kept = ~np.isin(metrics["seed"].values, leave_out)
        found.append(end_scores(metrics["eval_return_greedy"].values[kept]))
    return np.concatenate(found)


def test_the_page_is_whole_and_needs_nothing_else(page, read):
    text = page.read_text()
    assert [name for name in read.ids if not name.startswith("figure-")] == SECTIONS
    assert len(set(read.ids)) == len(read.ids)
    assert "<title>A &lt; B &amp; C</title>" in text and "ltro train &lt;made up&gt;" in text
    assert all(address.startswith(("data:image/svg+xml;base64,", "#")) for address in read.addresses)
    assert not re.search(r"https?://|url\(|@import", text)
    for name in ("learning-probe_matching", "learning-probe_climbing", "profiles", "improvement"):
        assert f"figure-{name}" in read.ids
    for task in ("matching", "climbing"):
        for name in ("adv_variance_raw", "adv_variance_used", "entropy", "kl", "policy_loss"):
            assert f"figure-{name}-probe_{task}" in read.ids
    for image in read.images:
        picture = base64.b64decode(image["src"].partition(",")[2])
        assert picture.startswith(b"<?xml") and picture.rstrip().endswith(b"</svg>")
        assert len(image["alt"]) > 40


def test_tables_are_what_the_statistics_say(runs, read):
    matching = {"happo": scores(runs["happo"], leave_out=(2,)), "clip_happo": scores(runs["clip"], runs["clip_more"])}
    names = {"happo": "happo_climbing", "clip_happo": "clip_climbing", "mappo": "mappo_climbing"}
    climbing = {label: scores(runs[name]) for label, name in names.items()}
    assert [len(found) for found in (*matching.values(), *climbing.values())] == [3, 6, 4, 4, 1]
    tables = [table[1:] for table in read.tables["final-scores"]]
    for table, task in zip(tables, (matching, climbing), strict=False):
        for label, seeds, *figures, lowest, highest in table:
            assert seeds == str(len(task[label]))
            assert figures == [interval_text(figure) for figure in aggregates([task[label]])]
            assert (float(lowest), float(highest)) == pytest.approx((task[label].min(), task[label].max()), rel=1e-3)
    assert [row[0] for row in tables[1]] == list(climbing) and "[" not in tables[1][-1][2]  # one seed: no interval
    tasks = {label: [found[label] for found in (matching, climbing) if label in found] for label in climbing}
    for x, y, probability in read.tables["improvement"][0][1:]:
        both = min(len(tasks[x]), len(tasks[y]))
        assert probability == interval_text(mean_probability_of_improvement(tasks[x][-both:], tasks[y][-both:]), share)
    assert len(read.tables["improvement"][0]) == 1 + 3
    scaled = normalised({label: dict(zip("mc"[-len(found) :], found, strict=True)) for label, found in tasks.items()})
    del scaled["mappo"]  # not on every task
    assert {row[0]: row[1:] for row in tables[2]} == {
        label: [interval_text(figure, share) for figure in aggregates(list(by_task.values()))]
        for label, by_task in scaled.items()
    }
    assert read.tables["failures"][0][1:] == [["probe/matching", "happo", "2", "7", "224"]]
    assert read.tables["time"][0][1][2:] == ["4", "1 × cpu", "16", "0:00:32", "64"]  # 512 steps × 4 members in 32 s
    differing, *rows = read.tables["runs"][1]
    assert differing == ["run", "task", "factor_clip"] and [row[2] for row in rows] == ["inf", "1", "inf", "1", "inf"]


def test_markdown_has_the_same_tables_and_figures(page, read):
    text = page.with_suffix(".md").read_text()
    assert text.startswith("# A \\< B & C\n")
    figures = re.findall(r"^!\[.{40,}\]\((.+)\)$", text, re.M)
    assert len(figures) == len(read.images)
    assert all((page.parent / figure).read_bytes().startswith(b"<?xml") for figure in figures)
    assert {path.name for path in page.parent.iterdir()} == {"x.html", "x.md", "x_figures"}
    for row in (row for tables in read.tables.values() for table in tables for row in table):
        cells = (re.sub(r"([\\`*\[\]<>|])", r"\\\1", cell) for cell in row)
        assert f"| {' | '.join(cells)} |" in text


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH; the structure is checked without it")
def test_a_browser_draws_every_figure(page, read, tmp_path):
    script = "<script>document.title = [...document.images].map(i => i.naturalWidth * i.naturalHeight).join()</script>"
    copy = tmp_path / "page.html"
    copy.write_text(page.read_text().replace("</body>", f"<script>onload = () => {{{script[8:-9]}}}</script></body>"))
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=9000", "--dump-dom"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", copy.as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    found = re.search(r"<title>([\d,]+)</title>", shown)
    assert found
    sizes = [int(size) for size in found[1].split(",")]
    assert len(sizes) == len(read.images) and min(sizes) > 10_000


def test_published_values_stand_beside_runs_in_their_unit(tmp_path):
    """With the published physics, as lines and in a table; with that of JaxMARL, not at all."""
    for preset in ("mpe", "mpe_paper"):
        config = load_preset(f"{preset}/simple_reference", num_envs=2, rollout_length=25, total_env_steps=16 * 50)
        run = write_run(tmp_path / preset, config, level=20.0)
        page = report(run, tmp_path / f"{preset}.html").read_text()
        read = Reader(page)
        if preset == "mpe":
            assert len(read.tables["final-scores"]) == 1 and "Dashed" not in page
            continue
        source = "HARL (Zhong et al. 2024), read by eye from a figure"
        assert read.tables["final-scores"][1] == [
            ["algorithm", "value", "steps", "unit", "source"],
            ["happo", "-10.00", "10M", "episode return, sum over agents", source],
            ["hatrpo", "-13.00", "10M", "episode return, sum over agents", source],
            ["mappo", "-10.00", "10M", "episode return, sum over agents", source],
        ]
        assert "Dashed: published values" in page
        series = gather(open_runs([run], with_metrics=True))
        assert len(Comparison(series, "episode_return").published("mpe/simple_reference")) == 3
        assert Comparison(series, "finite").published("mpe/simple_reference") == []


def test_what_a_reader_is_warned_of(runs, tiny, tmp_path):
    short = write_run(tmp_path / "short", tiny(algorithm="mappo", total_env_steps=16 * 32), iterations=8)
    series = gather(open_runs([runs["happo"], short, short]))  # named twice is once
    said = " ".join(notes(Comparison(series, "eval_return_greedy")))
    assert "One seed gives no interval: mappo on probe/matching." in said
    assert "Not finished: mappo on probe/matching (256 of 512 steps)" in said
    assert "Runs of probe/matching differ in length" in said
    assert "became non-finite and were frozen: happo on probe/matching 1 of 4" in said


def test_labels_of_series_name_what_differs(tiny, tmp_path):
    """A grid, a run of other settings, one of another task by its episodes, and that with a seed in common."""
    write_run(tmp_path / "grid", tiny(seeds="0:2", grid={"actor_lr": [0.1, 0.2]}))
    write_run(tmp_path / "wide", tiny(seeds="0:2", actor_lr=0.1, hidden_sizes=(16, 16)))
    write_run(tmp_path / "long", tiny(seeds="0:2", episode_length=9))
    write_run(tmp_path / "twin", tiny(seeds="1:3", episode_length=9))
    series = gather(open_runs(tmp_path / name for name in ("grid", "wide", "long", "twin")))
    assert [(one.label, one.task.removeprefix("probe/matching")) for one in series] == [
        ("hidden_sizes=8 actor_lr=0.1", ", episode_length=3"),
        ("hidden_sizes=8 actor_lr=0.2", ", episode_length=3"),
        ("hidden_sizes=16,16 actor_lr=0.1", ", episode_length=3"),
        (f"hidden_sizes=8 actor_lr=0.0005 ({tmp_path / 'long'})", ", episode_length=9"),
        (f"hidden_sizes=8 actor_lr=0.0005 ({tmp_path / 'twin'})", ", episode_length=9"),
    ]
    assert [one.seeds for one in series] == [[0, 1], [0, 1], [0, 1], [0, 1], [1, 2]]


def test_points_that_six_digits_do_not_tell_apart(tiny, tmp_path):
    run = load_run(write_run(tmp_path / "all", tiny(seeds=(3, 7), grid="gamma=0.9999999,1")))
    points = ["gamma=0.9999999", "gamma=1"]
    assert list(run.by_point()) == points and run.member(7, {"gamma": 0.9999999}) == 1
    assert run.member(3, {"gamma": float(np.float32(0.9999999))}) == 0
    sweep = Sweep(tmp_path, {"all": run.config})
    assert sorted(row["point"] for row in summary(member_rows(sweep))) == points
    assert [one.label for one in gather([run])] == points and report(run.path).exists()


def test_a_sweep_is_its_parts(tiny, tmp_path):
    parts = {name: tiny(agent_order=name) for name in ("random", "fixed", "random")}
    write_run(tmp_path / "random", parts["random"])
    settings = {name: config.to_dict() for name, config in parts.items()}
    (tmp_path / "sweep.json").write_text(json.dumps({"format_version": 1, "command": None, "parts": settings}))
    assert [run.path.name for run in open_runs([tmp_path], with_metrics=True)] == ["random"]
    assert not_started([tmp_path]) == ["fixed"]


def test_metrics_of_a_step_find_their_agent(tiny):
    """KL is 0.25 or 1.25 by whether the first in the order is bob, and doubled for the second."""
    found = by_agent(made_up(tiny(), 2, 1.0))
    assert set(found) == {"entropy", "policy_loss", "kl"}
    np.testing.assert_array_equal(found["kl"][0], [[2.5, 1.25], [0.25, 0.5]])  # bob first, then ann first


def refusal(error_type: type[Exception], paths, out: Path, **options) -> str:
    """The sentence, and nothing written."""
    with pytest.raises(error_type) as error:
        report(paths, out / "deep" / "x.html", **options)
    assert not (out / "deep").exists()
    return str(error.value)


def test_runs_that_cannot_be_reported_on(runs, tiny, tmp_path):
    out = tmp_path / "out"
    assert refusal(RunError, tmp_path / "none", out).startswith(f"there is no run {tmp_path / 'none'}; check the path")
    plain = tmp_path / "plain"
    (plain / "folder").mkdir(parents=True)
    assert refusal(RunError, plain, out).startswith(f"{plain} is not a run directory: it has no environment.json")
    empty = write_run(tmp_path / "empty", tiny(), iterations=0)
    assert refusal(RunError, [runs["happo"], empty], out) == (
        f"{empty} has no iteration yet; train it with `ltro resume {empty}`"
    )
    early = write_run(tmp_path / "early", tiny(), iterations=1)
    assert refusal(RunError, early, out, metric="eval_return_greedy") == (
        f"{early} has no value of eval_return_greedy yet; train it with `ltro resume {early}` or choose another metric"
    )
    dead = write_run(tmp_path / "dead", tiny(), failed={0: 3})
    assert "became non-finite and was frozen; there is nothing to report; " in refusal(RunError, dead, out)
    damaged = shutil.copytree(runs["clip"], tmp_path / "damaged")
    segment = next((damaged / "metrics").glob("*.nc"))
    segment.write_bytes(segment.read_bytes()[:-5])
    assert refusal(RunError, damaged, out).startswith(f"{segment} is damaged (")
    assert refusal(RunError, [], out) == "no run is given; name at least one run directory"


def test_metrics_that_cannot_be_compared(runs, tiny, tmp_path):
    unlike = write_run(tmp_path / "unlike", tiny(), without=("eval_return_greedy",))
    series = gather(open_runs([runs["happo"], unlike]))
    assert chosen_metric(series, None) == "episode_return"
    out = tmp_path / "out"
    assert refusal(SettingsError, [runs["happo"], unlike], out, metric="eval_return_greedy") == (
        f"metric = eval_return_greedy is not in {unlike}; all runs have episode_return"
    )
    assert refusal(SettingsError, runs["happo"], out, metric="eval_return_gredy") == (
        "metric = 'eval_return_gredy' is unknown; did you mean eval_return_greedy? available are "
        "episode_return, eval_return_greedy"
    )
    assert refusal(SettingsError, runs["happo"], out, metric="entropy").startswith("metric = 'entropy' is unknown; ")


def test_places_that_cannot_be_written(runs, tmp_path, monkeypatch):
    module = importlib.import_module("ltro_jax.reports.report")  # the package's `report` is the function
    monkeypatch.setattr(module, "_page", lambda *_: Page("short", "", []))
    with pytest.raises(SettingsError, match=r"out = .*x\.pdf is not an HTML file; name an"):
        report(runs["happo"], tmp_path / "x.pdf")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunError, match=r"cannot write .*: Not a directory; choose another place with --out"):
        report(runs["happo"], tmp_path / "file" / "x.html")
    assert load_run(runs["happo"]).iteration == 16 and (tmp_path / "file").read_text() == "mine"
