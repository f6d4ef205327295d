"""The quotations and lists of the pages match the package: sources, metrics, settings, plots, links, the citation."""

import dataclasses
import json
import re
import textwrap
import tomllib
from pathlib import Path

import jax
import pytest

from docs import settings_page
from ltro_jax.algorithms import ALGORITHMS, readers
from ltro_jax.config import Config, Static
from ltro_jax.config.families import ProbeOptions
from ltro_jax.envs import Family
from ltro_jax.envs.probes import make_probe
from ltro_jax.envs.registry import FAMILIES
from ltro_jax.training import make_train

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
QUOTATION = re.compile(r'^```python title="([^"]+)"\n(.*?)^```', re.M | re.S)
LINK = re.compile(r"(?<=\]\()(?!\w+:)([^)\s]+)")
NAMES = {  # section of the metrics page → where the program reports what it lists
    "Per iteration": "scalar",
    "Evaluation": "evaluation",
    "Per position": "position",
    "Per agent: PPO": "agent",
    "Per agent: trust region": "agent",
}


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def tables(page: Path) -> dict[str, list[list[str]]]:
    """Section → rows of its tables, without headings."""
    sections = re.split(r"^##+ (.*)$", text_of(page), flags=re.M)
    return {
        title: [
            [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            for line in re.sub(r"^\|.*\n\|[-|]+\|$", "", body, flags=re.M).splitlines()
            if line.startswith("|")
        ]
        for title, body in zip(sections[1::2], sections[2::2], strict=True)
    }


def test_quotations_are_in_their_sources():
    found = 0
    for page in PAGES:
        for path, quoted in QUOTATION.findall(text_of(page)):
            source = [line.strip() for line in text_of(ROOT / path).splitlines()]
            lines = [line.strip() for line in quoted.splitlines()]
            matches = [n for n in range(len(source)) if source[n : n + len(lines)] == lines]
            assert matches, f"{page.name} quotes what is not in {path}:\n{quoted}"
            original = "\n".join(text_of(ROOT / path).splitlines()[matches[0] : matches[0] + len(lines)])
            assert textwrap.dedent(original).rstrip() == quoted.rstrip()
            found += 1
    assert found > 20


def test_the_training_page_lists_which_algorithm_reads_what():
    rows = [[re.findall(r"`(\w+)`", cell) for cell in row] for row in tables(DOCS / "training.md")["Train"]]
    of_settings = [row for row in rows if len(row) == 2 and row[1] and set(row[1]) <= set(ALGORITHMS)]
    listed = {name: set(algorithms) for settings, algorithms in of_settings for name in settings}
    assert listed == {name: set(readers(name)) for rule in ALGORITHMS.values() for name in rule.settings()}


class Winnable:
    """A probe game in which the end is a victory: it has every metric."""

    def __init__(self, name: str, settings: Static):
        self.game = make_probe(name, settings)
        self.spec = dataclasses.replace(self.game.spec, winnable=True)

    def reset(self, key):
        env_state, timestep = self.game.reset(key)
        return env_state, timestep.replace(won=timestep.terminated)

    def step(self, key, env_state, action):
        env_state, timestep = self.game.step(key, env_state, action)
        return env_state, timestep.replace(won=timestep.terminated)


@pytest.mark.parametrize(
    "algorithm, sections",
    [
        ("clip_happo", ["Per iteration", "Evaluation", "Per position", "Per agent: PPO"]),
        ("hatrpo", ["Per agent: trust region"]),
    ],
)
def test_the_metrics_page_lists_what_is_recorded(algorithm, sections, monkeypatch):
    """Shapes only; nothing is compiled."""
    monkeypatch.setitem(FAMILIES, "winnable", Family(Winnable, ("matching",), ProbeOptions))
    settings = {"task": "winnable/matching", "algorithm": algorithm}
    config = Config.from_dict(settings)
    program = make_train(config)
    state = jax.eval_shape(program.init, 0, config.hypers)
    _, metrics, evaluation = jax.eval_shape(program.advance, state, config.hypers, 1)
    recorded = {**metrics._asdict(), "evaluation": evaluation}
    for section in sections:
        listed = [row[0].strip("`") for row in tables(DOCS / "metrics.md")[section]]
        assert len(set(listed)) == len(listed)
        assert set(listed) == set(recorded[NAMES[section]]), section
    assert all(row[1] for rows in tables(DOCS / "metrics.md").values() for row in rows)


def test_the_settings_page_is_up_to_date():
    assert text_of(settings_page.PAGE) == settings_page.page(), "run `python docs/settings_page.py`"


def measurements(name: str) -> list[dict]:
    return [json.loads(line) for line in text_of(ROOT / "experiments" / "results" / name).splitlines()]


def test_environment_steps_are_those_of_the_file():
    measured = [
        [row["task"], *map(str, (row["num_envs"], speed["ours"], speed["jaxmarl"], row["jaxmarl_over_ours"]))]
        for row in measurements("bench_envs_cpu.jsonl")
        if (speed := row.get("steps_per_second")) and "jaxmarl_over_ours" in row
    ]
    assert tables(DOCS / "comparison.md")["Environment steps"] == measured


def test_training_speeds_are_those_of_the_file():
    runs: list[list[str]] = []
    for row in measurements("bench_jaxmarl_cpu.jsonl"):
        if row["figure"] == "machine":
            runs.append([row["activation"]])
        elif row["figure"] == "jaxmarl":
            runs[-1].append(str(row["env_steps_per_second"]))
        else:
            runs[-1] += [str(row["env_steps_per_second"]), str(row["ratio"])]
    assert tables(DOCS / "comparison.md")["Training"] == runs


def test_links_lead_to_files_and_headings():
    for page in PAGES:
        prose = re.sub(r"^```.*?^```", "", text_of(page), flags=re.M | re.S)
        for link in LINK.findall(prose):
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.exists() and target.is_relative_to(ROOT), f"{page.name} links to {link}"
            if anchor:
                headings = re.findall(r"^#+ (.*)$", text_of(target), re.M)
                slugs = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
                assert anchor in slugs, f"{page.name} links to {link}"


def test_every_page_is_in_the_navigation():
    navigation = re.findall(r"^  - .*: (\S+\.md)$", text_of(ROOT / "mkdocs.yml"), re.M)
    assert sorted(navigation) == [page.name for page in sorted(DOCS.glob("*.md"))]


def test_the_readme_is_short():
    assert len(text_of(ROOT / "README.md").splitlines()) <= 150


def test_the_citation_is_the_same_everywhere():
    readme, citation = text_of(ROOT / "README.md"), text_of(ROOT / "CITATION.cff")
    project = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]
    assert f"\nversion: {project['version']}\n" in citation and f"\nlicense: {project['license']}\n" in citation
    fields = dict(re.findall(r"^  (\w+) *= \{(.*?)\},?$", readme, re.M | re.S))
    for ours, theirs in (
        ("volume", "volume"),
        ("number", "issue"),
        ("pages", "start"),
        ("year", "year"),
        ("doi", "doi"),
    ):
        assert re.search(rf"^  {theirs}: {re.escape(fields[ours])}$", citation, re.M), ours
    assert " ".join(fields["title"].split()) in " ".join(citation.split())
    for author in fields["author"].split(" and "):
        family, given = author.split(", ")
        assert f"family-names: {family}\n      given-names: {given}\n" in citation
