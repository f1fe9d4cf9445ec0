from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path

import pytest

import greendata.report as report_module
from greendata.jobs.report import rendered
from greendata.report.definitions import DEFINITIONS
from greendata.report.document import Report
from tests.report.made_reports import HOSTILE, make

VOID = ("meta", "link", "img", "br", "hr", "input")


class Page(HTMLParser):
    """Elements with their attributes, texts by element, and whether all that opens closes."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, Mapping[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), attrs
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self._open[-1] if self._open else "", []).append(data)

    def named(self, tag: str) -> list[Mapping[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return make(tmp_path_factory.mktemp("html") / "catalog")


@pytest.fixture(scope="module")
def text(report: Report) -> str:
    return rendered(report, "html")


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_names_are_shown_and_are_never_markup(page: Page) -> None:
    counts = Counter(tag for tag, _ in page.elements)
    assert (counts["script"], counts["style"], counts["img"], counts["iframe"]) == (1, 1, 0, 0)
    assert not [name for _, found in page.elements for name in found if name.startswith("on")]
    shown = "".join(page.texts["bdi"])
    for name in HOSTILE[:4]:
        assert name in shown
    assert r"\u202egnp.exe \u001b[31m \u0000 نصوص" in shown


def test_every_definition_is_there_once_and_every_link_leads_somewhere(page: Page) -> None:
    ids = Counter(found["id"] for _, found in page.elements if "id" in found)
    assert [name for name, number in ids.items() if number > 1] == []
    targets = [found["href"] for found in page.named("a")]
    assert {str(target) for target in targets} <= {f"#{name}" for name in ids}
    assert len([target for target in targets if str(target).startswith("#def-")]) > 50
    for tag, found in page.elements:
        if "aria-labelledby" in found:
            assert set(str(found["aria-labelledby"]).split()) <= set(ids), tag


def test_every_definition_is_of_a_figure_and_every_figure_has_one() -> None:
    sources = [path.read_text() for path in Path(report_module.__file__).parent.glob("*.py")]
    used = set(re.findall(r'definition="([a-z-]+)"', "".join(sources))) | {"part"}
    # breakdowns are defined by their dimension
    used |= {"dataset", "tier", "region", "format", "state"}
    assert used == set(DEFINITIONS)


def test_the_policy_allows_the_one_script_and_style_alone(text: str, page: Page) -> None:
    (policy,) = [
        str(found["content"])
        for found in page.named("meta")
        if found.get("http-equiv") == "Content-Security-Policy"
    ]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert "unsafe" not in policy
    for name in ("script", "style"):
        (content,) = re.findall(f"<{name}>(.*?)</{name}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[f"{name}-src"] == f"'sha256-{digest}'"
    # before it nothing but the encoding is said
    assert [tag for tag, _ in page.elements[:4]] == ["html", "head", "meta", "meta"]


def test_nothing_is_loaded(text: str, page: Page) -> None:
    sources = [found for _, found in page.elements if {"src", "srcset", "data"} & set(found)]
    assert sources == []
    assert [found["href"] for found in page.named("link")] == ["data:,"]
    (style,) = re.findall("<style>(.*?)</style>", text, re.DOTALL)
    assert "url(" not in style
    assert "@import" not in style
    assert not [found for _, found in page.elements if "style" in found]


def test_charts_have_words_or_stand_beside_their_numbers(page: Page) -> None:
    for found in page.named("svg"):
        nested = "viewbox" in found
        assert nested or found.get("aria-hidden") == "true" or found.get("role") == "img", found
        assert found.get("role") != "img" or found.get("aria-label")


def test_all_that_is_shown_stands_in_json_and_markdown_too(report: Report) -> None:
    document = json.loads(rendered(report, "json"))
    assert document["schema_version"] == 1
    assert document["stored"]["total"]["footprint"]["carbon_bytes"] > 0
    assert {entry["by"] for entry in document["stored"]["breakdowns"]} == {
        "dataset", "tier", "region", "format", "state",
    }  # fmt: skip
    words = rendered(report, "markdown")
    assert "<script" not in words
    assert "<img" not in words
    assert "](" not in words
    assert "\u202e" not in words
    assert "## What is stored" in words
    assert "**Total**" in words
    tables = [line.count("|") for line in words.splitlines() if line.startswith("| ")]
    assert min(tables) >= 3
    for block in re.findall(r"(?:^\|.*\n)+", words, re.MULTILINE):
        assert len({line.count("|") for line in block.splitlines()}) == 1, block


def test_a_lone_surrogate_in_a_name_does_not_end_the_report(report: Report, tmp_path: Path) -> None:
    from dataclasses import replace

    from greendata.jobs.report import choose_target, write_report

    odd = replace(report, catalog="/tmp/\udcff", warnings=("odd \udcff name",))
    for name in ("r.html", "r.md", "r.json"):
        write_report(odd, choose_target(None, str(tmp_path / name)))
        assert "udcff" in (tmp_path / name).read_text()
