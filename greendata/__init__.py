"""Finds what is stored twice in training data, verified by the texts themselves.

The functions here are what the command line calls; the packages behind them load on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path
    from typing import Any

    from greendata.config import Config
    from greendata.model import ScanSummary
    from greendata.plan.document import PlanDocument

__version__ = "0.1.0"
__all__ = [
    "__version__",
    "duplicates",
    "make_plan",
    "make_report",
    "measure_footprint",
    "overlap",
    "scan",
]


def scan(
    *uris: str,
    catalog: str = ".greendata",
    datasets: Mapping[str, str] | None = None,
    **options: Any,
) -> ScanSummary:
    """Fingerprint the documents of ``uris`` and ``datasets`` (name to URI) and find duplicates.

    URIs may be paths or globs, as on the command line. ``greendata.yaml`` is not read. ``options``
    are fields of ``greendata.jobs.request.ScanRequest``: ``threshold``, ``workers``,
    ``text_column`` and so on; the defaults are those of ``greendata scan``.

    Raises:
        GreendataError: see ``greendata.errors``; objects that cannot be read do not raise, they
            stand in the summary's ``skipped``.
    """
    from datetime import UTC, datetime

    from greendata.jobs import scan as job
    from greendata.jobs.request import ScanRequest
    from greendata.model import Dataset
    from greendata.progress import Progress
    from greendata.stores.opening import normalise_uri

    named = {name: normalise_uri(uri) for name, uri in (datasets or {}).items()}
    request = ScanRequest(
        uris=(*map(normalise_uri, uris), *named.values()),
        datasets=tuple(Dataset(name=name, prefixes=(uri,)) for name, uri in named.items()),
        catalog=catalog,
        **options,
    )
    return job.scan(request, progress=Progress(), now=datetime.now(UTC))


def duplicates(catalog: str = ".greendata", **options: Any) -> dict[str, Any]:
    """The largest groups of duplicates, as ``greendata duplicates --json`` prints them.

    ``options`` are fields of ``greendata.jobs.duplicates.DuplicatesRequest``.
    """
    from greendata.jobs import duplicates as job

    return job.find_groups(job.DuplicatesRequest(catalog=catalog, **options)).as_dict()


def overlap(catalog: str = ".greendata", **options: Any) -> dict[str, Any]:
    """Overlaps of objects and datasets, as ``greendata overlap --json`` prints them.

    ``options`` are fields of ``greendata.jobs.overlap.OverlapRequest``.
    """
    from greendata.jobs import overlap as job

    return job.find_overlaps(job.OverlapRequest(catalog=catalog, **options)).as_dict()


def make_report(
    catalog: str = ".greendata", output: str | None = None, **options: Any
) -> dict[str, Any]:
    """What ``greendata report --format json`` prints; written to ``output`` too if it is named.

    The ending of ``output`` names the format: ``.html``, ``.md`` or ``.json``. ``options`` are
    fields of ``greendata.jobs.report.ReportRequest``: ``plan``, ``since``, ``top`` and so on.

    Raises:
        GreendataError: there is no catalog, nothing was listed into it yet, or ``output`` is there.
    """
    from datetime import UTC, datetime

    from greendata.jobs import report as job

    target = None if output is None else job.choose_target(None, output)
    options.setdefault("as_of", datetime.now(UTC))
    found = job.make_report(job.ReportRequest(catalog=catalog, **options))
    if target is not None:
        job.write_report(found, target)
    return found.as_dict()


def make_plan(
    *policies: str | Path,
    directory: str | Path,
    catalog: str = ".greendata",
    config: str | Path | None = None,
    as_of: datetime | None = None,
) -> PlanDocument:
    """Decide what policies (files or folders) would do, and write the plan into ``directory``.

    ``config`` is a ``greendata.yaml`` with datasets, stores and limits; none is looked for.
    ``as_of`` is aware; ages and prices are of that moment, now if it is not given. (``plan`` is the
    name of the package that this calls.)

    Raises:
        UsageError: the directory holds something.
        PolicyError: a policy file is wrong, or policies contradict each other.
        ObjectNotFoundError: nothing was listed into the catalog yet.
        PlanError: the inventory is too old, or there are no prices for ``as_of``.
    """
    from datetime import UTC, datetime
    from pathlib import Path

    from greendata.jobs import plan as job

    known = _config(config)
    return job.make_plan(
        job.PlanRequest(
            paths=tuple(map(str, policies)),
            directory=Path(directory),
            catalog=catalog,
            as_of=as_of or datetime.now(UTC),
            stores=known.stores,
            datasets=known.datasets,
            limits=known.limits,
            max_age_seconds=known.inventory_max_age_seconds,
        )
    )


def measure_footprint(
    catalog: str = ".greendata",
    *,
    config: str | Path | None = None,
    as_of: datetime | None = None,
    **options: Any,
) -> dict[str, Any]:
    """What is stored, in USD, kWh and kgCO2e a month, as ``greendata footprint --json`` prints it.

    ``config`` and ``as_of`` are those of ``make_plan``; ``options`` are ``by`` (``dataset``,
    ``region`` or ``tier``) and ``with_sci``.
    """
    from datetime import UTC, datetime

    from greendata.jobs import footprint as job

    known = _config(config)
    request = job.FootprintRequest(
        catalog=catalog,
        as_of=as_of or datetime.now(UTC),
        stores=known.stores,
        datasets=known.datasets,
        max_age_seconds=known.inventory_max_age_seconds,
        **options,
    )
    return job.measure_footprint(request).as_dict()


def _config(path: str | Path | None) -> Config:
    from pathlib import Path

    from greendata.config import Config, read_config

    return Config() if path is None else read_config(Path(path))
