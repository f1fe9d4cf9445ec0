"""``greendata report``: what is stored, redundant, done and open, on one page."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from greendata import __version__
from greendata.config import DatasetSettings, StoreSettings
from greendata.errors import UsageError
from greendata.footprint.tables import model_version, rows_of, values_of
from greendata.jobs.export import check_target, published
from greendata.jobs.report_done import done_section
from greendata.jobs.report_history import trend_section
from greendata.jobs.report_redundant import redundant_section
from greendata.jobs.report_stored import (
    STORED_COLUMNS,
    basis_of,
    places_of,
    stored_section,
    sum_stored,
)
from greendata.jobs.run_history import RunsRequest, create_history_views
from greendata.jobs.show import read_plan
from greendata.jobs.view import open_inventory

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from greendata.footprint.tables import Value
    from greendata.report.document import Coefficient, Report

Format = Literal["html", "markdown", "json"]

_ENDINGS: dict[str, Format] = {
    ".html": "html", ".htm": "html", ".md": "markdown", ".markdown": "markdown", ".json": "json",
}  # fmt: skip

_STORAGE_COEFFICIENTS = ("hdd_", "ssd_", "drive_life", "raw_over_filled", "redundancy_")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRequest:
    """What to report.

    Attributes:
        since: runs, scans and refreshes before are left out; what is stored is as of now.
        top: entries of each list; the rest is summed in one more.
        plan: a folder that ``greendata plan`` wrote.
        with_texts: read back how the texts of the largest groups begin.
        max_age_seconds: what ``inventory.max_age`` says; an older inventory is told of.
    """

    catalog: str
    as_of: datetime
    stores: tuple[StoreSettings, ...] = ()
    datasets: tuple[DatasetSettings, ...] = ()
    since: datetime | None = None
    top: int = 20
    plan: Path | None = None
    with_texts: bool = False
    max_age_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a report goes: a file, or stdout when ``path`` is None."""

    file_format: Format
    path: Path | None = None
    overwrite: bool = False


def choose_target(
    file_format: str | None, output: str | None, *, overwrite: bool = False
) -> Target:
    """What ``--format`` and ``-o`` ask for.

    Raises:
        UsageError: neither; a name that does not tell a format; a file that is there already.
    """
    if file_format is None and output is None:
        raise UsageError(
            "say where the report goes",
            hint="greendata report -o report.html, or --format markdown.",
        )
    path = None if output is None else Path(output)
    chosen = file_format or _ENDINGS.get("" if path is None else path.suffix.lower())
    if chosen not in get_args(Format):
        raise UsageError(
            f"{output}: the name does not say which format to write",
            hint="End it with .html, .md or .json, or add --format.",
        )
    if path is not None:
        check_target(path, overwrite=overwrite)
    return Target(file_format=cast("Format", chosen), path=path, overwrite=overwrite)


def make_report(request: ReportRequest) -> Report:
    """Look at everything the catalog holds, and at the plan. Nothing is written.

    Raises:
        ObjectNotFoundError: there is no catalog, nothing was listed into it yet, or no such plan.
        PlanError: the plan is not all there, or was changed.
    """
    from greendata.report.document import BasisSection, Report

    plan = None if request.plan is None else read_plan(request.plan)
    day = request.as_of.date()
    with open_inventory(
        request.catalog,
        stores=request.stores,
        datasets=request.datasets,
        as_of=request.as_of,
        columns=STORED_COLUMNS,
    ) as opened:
        connection, catalog = opened.connection, opened.catalog
        sum_stored(connection, day)
        runs = RunsRequest(
            catalog=request.catalog, stores=request.stores, datasets=request.datasets
        )
        damaged = create_history_views(connection, catalog, runs, None)
        places = places_of(connection)
        assumptions, sources, warnings = basis_of(places)
        return Report(
            made_at=request.as_of,
            catalog=catalog.name,
            program_version=__version__,
            model_version=model_version(),
            inventory_as_of=opened.oldest_as_of,
            since=request.since,
            stored=stored_section(connection, day, request.top),
            redundant=redundant_section(
                connection,
                top=request.top,
                with_texts=request.with_texts,
                stores=request.stores,
                catalog=request.catalog,
            ),
            done=done_section(connection, now=request.as_of, since=request.since, top=request.top),
            trend=trend_section(catalog, request.since),
            plan=plan,
            basis=BasisSection(
                assumptions=assumptions,
                coefficients=_coefficients(places),
                sources=sources,
                parameters=_parameters(connection),
            ),
            warnings=(
                *opened.stale_places(request.as_of, request.max_age_seconds),
                *warnings,
                *damaged,
            ),
        )


def write_report(report: Report, target: Target) -> int:
    """Write it in the format asked for and return its size in bytes.

    A file appears whole or not at all.
    """
    raw = rendered(report, target.file_format).encode("utf-8", "backslashreplace")
    if target.path is None:
        sys.stdout.buffer.write(raw)
        sys.stdout.buffer.flush()
    else:
        with published(target.path, overwrite=target.overwrite) as stream:
            stream.write(raw)
    return len(raw)


def rendered(report: Report, file_format: Format) -> str:
    """The report as text."""
    if file_format == "json":
        return json.dumps(report.as_dict(), indent=2, allow_nan=False, default=str) + "\n"
    from greendata.report.compose import page_of

    page = page_of(report)
    if file_format == "markdown":
        from greendata.report.markdown import markdown

        return markdown(page)
    from greendata.report.html import html

    return html(page)


def _coefficients(places: Iterable[Mapping[str, Any]]) -> tuple[Coefficient, ...]:
    """Those that storage hangs on, and the grids and buildings of the regions that are used."""
    rows, factors = rows_of("coefficients"), rows_of("region_factors")
    found = [
        _coefficient(name.replace("_", " "), value, rows[(name,)]["grade"])
        for (name,), value in values_of("coefficients").items()
        if name.startswith(_STORAGE_COEFFICIENTS)
    ]
    used = {(place["store"], place["region"]) for place in places if place["region"]}
    found += [
        _coefficient(f"{item.replace('_', ' ')} of {store} {region}", value, quality)
        for (store, region, item), value in values_of("region_factors").items()
        if (store, region) in used
        for quality in [f"quality {factors[store, region, item]['quality']}"]
    ]
    return tuple(sorted(found, key=lambda entry: (-entry.swing, entry.name)))


def _coefficient(name: str, value: Value, grade: str) -> Coefficient:
    from greendata.report.document import Coefficient

    return Coefficient(
        name=name,
        low=value.low,
        central=value.central,
        high=value.high,
        unit=value.unit,
        grade=grade,
        source=value.source,
    )


def _parameters(connection: DuckDBPyConnection) -> Mapping[str, Any]:
    """Of the newest scan."""
    rows = connection.execute(
        "SELECT parameters FROM scans ORDER BY sequence DESC LIMIT 1"
    ).fetchall()
    found: dict[str, Any] = json.loads(rows[0][0]) if rows else {}
    return found
