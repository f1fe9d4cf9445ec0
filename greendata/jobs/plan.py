"""``greendata plan``: decide, price, and write the plan to a folder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from greendata import __version__
from greendata.catalog.inventory import UPLOAD_FORMAT
from greendata.catalog.queries import create_rows, create_view
from greendata.config import DatasetSettings, LimitSettings, StoreSettings
from greendata.errors import PlanError, StoreUnreachableError, UsageError
from greendata.footprint.columns import rates_table, transfers_table, transitions_table
from greendata.footprint.tables import first_day, model_version, values_of
from greendata.jobs.plan_folder import plan_folder
from greendata.jobs.policies import policy_files, read_bounded, surroundings
from greendata.jobs.view import open_inventory
from greendata.plan.build import PlanInputs, PriceTables, build_plan, compile_for_plan
from greendata.plan.places import Place
from greendata.plan.survivors import SURVIVOR_COLUMNS
from greendata.policy.document import read_policies

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from greendata.jobs.view import OpenInventory
    from greendata.plan.document import PlanDocument, PlanFile

PLAN_MEMORY_BYTES = 13 * 2**28
"""Beyond it the tables of a plan spill to a temporary folder."""
MOST_WORDS = 4096
"""Of a column written by dictionary: more are names and digests, and the attempt is for nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRequest:
    """Plan these policy files or folders into ``directory``, which must not hold anything yet."""

    paths: tuple[str, ...]
    directory: Path
    catalog: str
    as_of: datetime
    stores: tuple[StoreSettings, ...] = ()
    datasets: tuple[DatasetSettings, ...] = ()
    limits: LimitSettings = field(default_factory=LimitSettings)
    max_age_seconds: float | None = None
    threads: int | None = None


def make_plan(request: PlanRequest) -> PlanDocument:
    """Decide, price and write; the document that was written last.

    Raises:
        UsageError: the directory holds something.
        PolicyError: a policy file is wrong, or policies contradict each other.
        ObjectNotFoundError: nothing was listed into the catalog yet.
        PlanError: the inventory is older than ``inventory.max_age``, or older than any price list
            is what ``as_of`` says.
    """
    _refuse_directory(request.directory)
    files, _ = policy_files(request.paths)
    texts = [(str(path), read_bounded(path)) for path in files]
    policies = read_policies(texts)
    around = surroundings(request.as_of, stores=request.stores, datasets=request.datasets)
    columns = set(compile_for_plan(policies, around).columns)
    kinds = {entry.kind for entry in policies.policies}
    named = {
        name for entry in policies.policies if entry.condition for name in entry.condition.columns
    }
    if "format" not in named:
        columns = columns - {"format"} | {UPLOAD_FORMAT}
    if "quarantine" in kinds:
        columns |= {*SURVIVOR_COLUMNS, "documents", "identical_to"}
    with open_inventory(
        request.catalog,
        stores=request.stores,
        datasets=request.datasets,
        as_of=request.as_of,
        columns=columns,
        memory_bytes=PLAN_MEMORY_BYTES,
        threads=request.threads,
    ) as opened:
        _refuse_stale(opened, request)
        _refuse_unpriced(opened, request.as_of.date())
        if "quarantine" in kinds:
            _create_proofs(opened)
        inputs = PlanInputs(
            policies=policies,
            around=around,
            prices=price_tables(request.as_of),
            snapshot=tuple(entry.scan_id for entry in opened.refreshes),
            model_version=model_version(),
            places=declared_places(request.stores),
            manifests=tuple(entry.name for entry in request.datasets if entry.manifest),
            limits=request.limits,
        )
        return _write(opened, inputs, texts, request.directory)


def price_tables(as_of: datetime) -> PriceTables:
    """Prices as they are on a day."""
    import pyarrow as pa

    day = as_of.date()
    rents = [
        {"provider": provider, "region": region, "usd_per_tag_month": float(price.central)}
        for (provider, region, _, item), price in sorted(values_of("prices", day).items())
        if item == "tag"
    ]
    schema = pa.schema(
        [("provider", pa.string()), ("region", pa.string()), ("usd_per_tag_month", pa.float64())]
    )
    return PriceTables(
        rates=rates_table(day),
        transitions=transitions_table(day),
        transfers=transfers_table(day),
        tag_rents=pa.Table.from_pylist(rents, schema=schema),
    )


def declared_places(stores: Sequence[StoreSettings]) -> tuple[Place, ...]:
    """Buckets of greendata.yaml whose region is declared."""
    found = []
    for entry in stores:
        if entry.region is not None:
            provider, _, rest = entry.match.partition("://")
            found.append(
                Place(
                    provider=provider,
                    region=entry.region,
                    uri=f"{provider}://{rest.partition('/')[0]}/",
                )
            )
    return tuple(found)


def _refuse_stale(opened: OpenInventory, request: PlanRequest) -> None:
    stale = list(opened.stale_places(request.as_of, request.max_age_seconds))
    if stale:
        places = sorted(
            {
                cover.uri
                for refresh in opened.refreshes
                if (request.as_of - refresh.as_of).total_seconds() > (request.max_age_seconds or 0)
                for cover in refresh.covers
            }
        )
        raise PlanError(
            "\n".join(line.removesuffix("; refresh it.") for line in stale)
            + "\ninventory.max_age allows"
            f" {(request.max_age_seconds or 0) / 3600:g} hours",
            hint=f"Run: greendata inventory {' '.join(places)}",
        )


def _refuse_unpriced(opened: OpenInventory, day: date) -> None:
    """Before the first price list of a provider all that is stored there would be refused."""
    for provider in ("s3", "az"):
        first = first_day("prices", provider=provider, item="storage")
        if first is None or first <= day:
            continue
        found = opened.connection.execute(
            f"SELECT 1 FROM object_rows WHERE starts_with(uri, '{provider}://') LIMIT 1"
        ).fetchall()
        if found:
            raise PlanError(
                f"--as-of {day}: no prices of {provider}:// are known for that day; the earliest"
                f" are of {first}",
                hint=f"Plan with --as-of {first} or later.",
            )


def _create_proofs(opened: OpenInventory) -> None:
    """``plan_contents``: bytes that were read; ``plan_rows``: rows that were; ``plan_texts``:
    objects whose texts another has."""
    connection = opened.connection
    create_rows(connection, "row_digests", opened.catalog.files("row_digests", None))
    create_view(
        connection,
        "plan_rows",
        "SELECT DISTINCT store_id, uri, etag, digest_high, digest_low FROM row_digests_rows",
    )
    create_view(
        connection,
        "plan_contents",
        "SELECT DISTINCT store_id, uri, etag, sha256 FROM digests_rows",
    )
    create_view(
        connection,
        "plan_texts",
        "SELECT o.store_id, o.uri, o.etag, d.kept_uri AS survivor_uri,"
        " d.kept_etag AS survivor_etag, bool_and(d.kind = 'exact') AS is_exact,"
        " min(d.jaccard) AS jaccard FROM scanned_objects o JOIN duplicates d"
        " ON d.document_uri = o.uri AND d.document_etag = o.etag"
        " WHERE d.kind <> 'candidate' AND d.kept_uri <> d.document_uri AND o.documents > 0"
        " GROUP BY o.store_id, o.uri, o.etag, o.documents, d.kept_uri, d.kept_etag"
        " HAVING count(DISTINCT d.document_row) = o.documents",
    )


def _write(
    opened: OpenInventory,
    inputs: PlanInputs,
    texts: Sequence[tuple[str, bytes]],
    directory: Path,
) -> PlanDocument:
    """All files in a folder beside the one asked for, which then takes its name."""
    from greendata.plan.document import ACTIONS_NAME, DECISIONS_NAME, PLAN_NAME, sealed, written

    document = _document(opened, inputs, texts)
    with plan_folder(directory) as folder:
        try:
            decisions = _write_table(opened.connection, "plan_decisions", folder / DECISIONS_NAME)
            opened.connection.execute("DROP TABLE plan_decided")  # the largest; room for the sort
            actions = _write_table(opened.connection, "plan_actions", folder / ACTIONS_NAME)
            document = sealed(document.model_copy(update={"files": (actions, decisions)}))
            (folder / PLAN_NAME).write_bytes(written(document))
            for name in (ACTIONS_NAME, DECISIONS_NAME, PLAN_NAME):
                _settle(folder / name)
            folder.chmod(0o755)
            _refuse_directory(directory)
            folder.rename(directory)  # an empty directory is replaced; nothing else can be
        except OSError as error:
            raise StoreUnreachableError(
                f"{directory}: writing the plan failed: {error.strerror}",
                hint="Free disk space or choose another directory, and plan again.",
            ) from error
    return document


def _document(
    opened: OpenInventory, inputs: PlanInputs, texts: Sequence[tuple[str, bytes]]
) -> PlanDocument:
    """Build the plan in the connection; all of its document but the files."""
    from greendata.plan import summary
    from greendata.plan.document import PlanDocument, PolicyText, Refresh

    connection = opened.connection
    built = build_plan(connection, inputs)
    totals = summary.all_totals(connection)
    return PlanDocument(
        program_version=__version__,
        model_version=inputs.model_version,
        as_of=inputs.as_of,
        policy_digest=inputs.policies.digest,
        policies=summary.policy_totals(connection, built),
        policy_texts=tuple(
            PolicyText(name=name, text=text)
            for name, text in sorted((Path(name).name, raw.decode()) for name, raw in texts)
        ),
        inventory=tuple(
            Refresh(scan_id=entry.scan_id, source=entry.source, as_of=entry.as_of)
            for entry in sorted(opened.refreshes, key=lambda entry: entry.scan_id)
        ),
        inventory_as_of=opened.oldest_as_of,
        scope_objects=built.scope_objects,
        totals=totals,
        prefixes=summary.prefix_totals(connection, built),
        stays=summary.stays(connection),
        limits=summary.limits(inputs.limits, totals, built.scope_objects),
        several=summary.several(connection),
        assumptions=summary.ASSUMPTIONS,
    )


def _write_table(connection: DuckDBPyConnection, view: str, path: Path) -> PlanFile:
    from greendata.plan.document import PlanFile

    escaped = str(path).replace("'", "''")
    connection.execute(
        f"COPY (FROM {view}) TO '{escaped}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1,"
        f" DICTIONARY_SIZE_LIMIT {MOST_WORDS})"
    )
    (row,) = connection.execute(
        "SELECT num_rows FROM parquet_file_metadata($1)", [str(path)]
    ).fetchall()
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return PlanFile(name=path.name, rows=int(row[0]), sha256=digest)


def _settle(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def _refuse_directory(directory: Path) -> None:
    try:
        found = next(directory.iterdir(), None)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"{directory}: cannot be used: {error.strerror}") from error
    if found is not None:
        raise UsageError(
            f"{directory}: is not empty", hint="A plan is never written over: name a new directory."
        )
