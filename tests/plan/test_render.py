from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from greendata.errors import PlanError
from greendata.plan.document import (
    Bounds,
    ClassChange,
    Limits,
    PlanDocument,
    PolicyTotals,
    PrefixTotals,
    Stays,
    Totals,
    read_document,
    sealed,
    written,
)
from greendata.plan.render import code, markdown, size_text

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOSTILE = (
    "s3://b/a|b`c\n\r\x1b[31m<script>alert(1)</script>\u202egpj.exe\u200b@team #1 [x](y) *z* _w_ \\"
)
TOTALS = Totals(
    actions=3, objects=2, size_bytes=2**40, fees_usd=Decimal("1.5"),
    monthly_saving_usd=Decimal("20.25"), payback_days=3,
    energy_kwh=Bounds(low=1, central=2, high=4), carbon_kgco2e=None, costly=1, irreversible=2,
    irreversible_bytes=2**30,
)  # fmt: skip


def made(**values: Any) -> PlanDocument:
    known: dict[str, Any] = {
        "program_version": "0.1.0",
        "model_version": "1-abc", "as_of": AT,
        "policy_digest": "d" * 64,
        "policies": (PolicyTotals(policy="archive", action={"tier": "archive"}, priority=0,
                                  totals=TOTALS),),
        "policy_texts": (), "inventory": (), "inventory_as_of": AT, "scope_objects": 10,
        "totals": TOTALS,
        "prefixes": (PrefixTotals(prefix=HOSTILE, policy="archive", totals=TOTALS),),
        "stays": (Stays(policy="archive", reason="no-price", because=HOSTILE, is_refused=True,
                        objects=7, size_bytes=9, example_uri=HOSTILE),),
        "limits": Limits(max_objects=1, max_bytes=1, max_percent=1),
    }  # fmt: skip
    return sealed(PlanDocument(**(known | values)))


def test_a_reviewer_is_told_of_what_copies_in_s3_do_not_carry() -> None:
    assert "an ACL of its own" in markdown(made())
    others = PrefixTotals(prefix="az://c@account/a/", policy="archive", totals=TOTALS)
    assert "ACL" not in markdown(made(prefixes=(others,)))
    leaves = PolicyTotals(policy="archive", action={"expire": {}}, priority=0, totals=TOTALS)
    assert "ACL" not in markdown(made(policies=(leaves,)))


def test_a_reviewer_finds_amounts_ranges_and_what_is_irreversible() -> None:
    shown = markdown(made())
    assert "**2 of 10 objects** in scope, 1 TiB: costs 1.50 USD once, saves 20.25 USD" in shown
    assert "> **Irreversible: 2 actions" in shown
    assert "| 2 | 1 TiB | 1.50 | 20.25 | 3 d | 2 (1 to 4) | ? | 2 |" in shown
    assert "no-price" in shown


def test_a_reviewer_reads_what_becomes_of_objects_and_what_is_taken_for_granted() -> None:
    change = ClassChange(from_class=HOSTILE, to_class="GLACIER", objects=2, size_bytes=5,
                         restore_hours=5)  # fmt: skip
    entry = PolicyTotals(policy="archive", action={"tier": "archive"}, priority=0, totals=TOTALS,
                         classes=(change,), takes_modified=True)  # fmt: skip
    shown = markdown(made(policies=(entry,)))
    (line,) = [line for line in shown.splitlines() if line.startswith("- <code>archive</code>:")]
    assert "<code>GLACIER</code>, which takes up to 5 hours to open." in line
    assert "**Where nothing tells of reads, it goes by the time" in line
    assert "<script>" not in shown


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0 bytes"), (102, "102 bytes"), (103, "0.101 KiB"), (3 * 2**30, "3 GiB"),
     (2**40, "1 TiB"), (-(2**39), "-0.5 TiB"), (2**62, "4,194,304 TiB")],
)  # fmt: skip
def test_sizes_are_in_a_unit_that_can_be_read(size_bytes: int, text: str) -> None:
    assert size_text(size_bytes) == text


def test_hostile_names_are_shown_and_never_acted_upon() -> None:
    shown = markdown(made())
    rows = [line for line in shown.splitlines() if "script" in line]
    assert len(rows) == 2
    for row in rows:
        cells = row.strip("| ").split(" | ")
        assert len(cells) == 6
        assert "\\u001b" in row.replace("&#92;", "\\")
        assert "\\u202e" in row.replace("&#92;", "\\")
    assert "<script>" not in shown
    assert not re.search("[\x00-\x09\x0b-\x1f\u200b-\u202e]", shown)
    body = code(HOSTILE).removeprefix("<code>").removesuffix("</code>")
    assert not re.search(r"[|`*\[\]@\\<>]", body)


def test_letters_of_other_scripts_stay_readable() -> None:
    assert code("s3://b/été/数据/a_1.parquet") == "<code>s3://b/été/数据/a_1.parquet</code>"


def test_a_plan_that_does_nothing_says_so() -> None:
    shown = markdown(made(totals=Totals(), policies=(), prefixes=(), stays=()))
    assert "Nothing to do: 10 objects in scope" in shown
    assert "| policy" not in shown


def test_a_document_is_read_as_it_was_written() -> None:
    document = made()
    assert read_document(written(document), "p") == document


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw.replace(b'"scope_objects": 10', b'"scope_objects": 11'),
        lambda raw: raw[: len(raw) // 2],
        lambda raw: raw.replace(b'"schema_version": 2', b'"schema_version": 1'),
        lambda raw: raw.replace(b'"limits"', b'"limitz"'),
        lambda _: b"[" * 100_000,
        lambda _: b"\xff\xfe",
        lambda _: b"",
        lambda _: b"[]",
    ],
    ids=("figure", "cut", "version", "key", "deep", "bytes", "empty", "list"),
)
def test_a_document_that_was_changed_is_refused(change: Any) -> None:
    with pytest.raises(PlanError):
        read_document(change(written(made())), "plan/plan.json")
