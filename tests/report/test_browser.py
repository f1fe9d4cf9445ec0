"""The page in a real browser: .ci/run installs Debian's chromium where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from greendata.jobs.report import rendered
from greendata.report.document import DoneSection, RunRow, Savings
from tests.jobs.made_inventory import NOW
from tests.report.browser import WITHOUT, Tab, browser, find_browser
from tests.report.made_reports import HOSTILE, make

pytestmark = [
    pytest.mark.skipif(find_browser() is None, reason=WITHOUT),
    pytest.mark.xdist_group("browser"),
]

TABLE = "document.getElementById('table-stored-by-dataset')"
NAMES = f"Array.from({TABLE}.tBodies[0].rows, row => row.cells[0].textContent)"


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    report = make(folder / "catalog")
    savings = Savings(actions=3, realised_usd=Decimal(-5), saved_usd=Decimal(-5))
    runs = tuple(
        RunRow(
            run_id=f"{HOSTILE[number % 5]}{number}", plan_id="p", attempt=1, state="partial",
            started_at=NOW - timedelta(days=number), finished_at=None, owner=HOSTILE[0],
            actions=number, done=1, pending=0, skipped=0, failed=1, own={},
            reasons={HOSTILE[1]: 2}, savings=savings,
        )
        for number in range(12)
    )  # fmt: skip
    done = DoneSection(runs=runs, total_runs=12, total=savings, kinds=())
    page = folder / "report.html"
    page.write_text(rendered(replace(report, done=done), "html"))
    return page


@pytest.fixture
def page(tab: Tab, path: Path) -> Tab:
    tab.look(width=1280)
    tab.forget()
    tab.open(path.as_uri())
    return tab


def test_it_opens_without_a_word_and_loads_nothing(page: Tab, path: Path) -> None:
    assert page.told == []
    assert page.requests == [path.as_uri()]
    assert page.run("typeof window.ran") == "undefined"
    assert page.run("document.querySelectorAll('img, iframe, object').length") == 0
    assert page.run("getComputedStyle(document.querySelector('.n')).textAlign") == "right"


def test_what_would_get_in_as_markup_does_not_run(page: Tab, path: Path) -> None:
    raw = (
        "<script>window.ran = 5</script><button id=b onclick='window.ran = 6'>b</button>"
        "<img src='http://127.0.0.1:9/x' onerror='window.ran = 7'><base href='http://127.0.0.1:9/'>"
        "<style>body { background: red }</style><p style='color: red'>p</p>"
    )
    odd = path.with_name("odd.html")
    odd.write_text(path.read_text().replace("<main", f"{raw}<main"))
    page.open(odd.as_uri())
    page.run("document.getElementById('b').click()")
    assert page.run("typeof window.ran") == "undefined"
    assert page.requests[1:] == [odd.as_uri()]
    refused = [line for line in page.told if "Content Security Policy" in line]
    assert len(refused) >= 6, page.told


def test_tables_sort_both_ways_with_the_unknown_last(page: Tab) -> None:
    cells = f"Array.from({TABLE}.tBodies[0].rows, row => row.cells[4].dataset.v ?? null)"
    header = f"{TABLE}.tHead.rows[0].cells[4]"
    for direction in ("descending", "ascending"):
        page.run(f"{header}.querySelector('button').click()")
        assert page.run(f"{header}.getAttribute('aria-sort')") == direction
        found = page.run(cells)
        known = [float(value) for value in found if value is not None]
        assert found[len(known) :] == [None] * (len(found) - len(known))
        assert len(known) < len(found)
        assert known == sorted(known, reverse=direction == "descending")
    assert page.run(f"{TABLE}.tFoot.rows[0].cells[0].textContent") == "Total"
    page.run(f"{TABLE}.tHead.rows[0].cells[0].querySelector('button').click()")
    names = page.run(NAMES)
    assert names.index("books") < names.index("code") < names.index("crawl")
    assert page.run(f"{header}.hasAttribute('aria-sort')") is False
    assert page.told == []


def test_tables_sort_by_keyboard(page: Tab) -> None:
    page.run(f"{TABLE}.tHead.rows[0].cells[0].querySelector('button').focus()")
    page.press("Enter", 13)
    assert page.run(f"{TABLE}.tHead.rows[0].cells[0].getAttribute('aria-sort')") == "ascending"


def test_tables_filter_by_what_is_typed(page: Tab) -> None:
    field = f"document.querySelector('[data-for={TABLE.split(chr(39))[1]}] input')"
    shown = f"Array.from({TABLE}.tBodies[0].rows).filter(row => row.offsetHeight > 0).length"
    every = page.run(shown)
    page.run(f"{field}.focus()")
    page.call("Input.insertText", text="CRAWL")
    assert page.run(shown) == 1
    assert page.run(f"{TABLE}.tFoot.rows[0].offsetHeight > 0") is True
    assert page.run(f"{field}.closest('.tools').querySelector('output').textContent") == (
        f"1 of {every} rows"
    )
    page.run(f"{field}.value = ''; {field}.dispatchEvent(new Event('input'))")
    assert page.run(shown) == every


def test_a_figure_leads_to_its_definition(page: Tab) -> None:
    page.run("document.querySelector('.card .def').click()")
    assert page.run("document.querySelector(':target').id") == "def-stored-bytes"


def test_it_fits_narrow_windows_and_has_dark_colours(page: Tab, path: Path) -> None:
    light = page.run("getComputedStyle(document.body).backgroundColor")
    page.look(width=390, scheme="dark")
    page.open(path.as_uri())
    assert page.run("document.documentElement.scrollWidth") <= 390
    assert page.run("getComputedStyle(document.body).backgroundColor") != light


def test_without_scripts_the_tables_are_there(page: Tab, path: Path) -> None:
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page.open(path.as_uri())
        assert page.run("document.querySelectorAll('thead button, .tools input').length") == 0
        assert page.run(f"{TABLE}.tBodies[0].rows.length") > 3
    finally:
        page.call("Emulation.setScriptExecutionDisabled", value=False)


def test_what_is_folded_is_on_paper(page: Tab) -> None:
    assert page.paper().startswith(b"%PDF")
    page.run(
        "dispatchEvent(new Event('beforeprint'));"
        "window.folded = document.querySelectorAll('details:not([open])').length;"
        "dispatchEvent(new Event('afterprint'))"
    )
    assert page.run("window.folded") == 0
    assert page.run("document.querySelectorAll('details:not([open])').length") > 0
