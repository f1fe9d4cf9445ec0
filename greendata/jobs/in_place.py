"""``greendata recompress --in-place``: a plan of one policy, and what applying it writes with."""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greendata.catalog.commits import new_id
from greendata.config import LimitSettings
from greendata.errors import (
    DeniedError,
    LimitExceededError,
    ObjectNotFoundError,
    UnreadableShardError,
    UnsupportedError,
)
from greendata.execute.handlers.recompress import LEAST_SAVING, Rewrite, Rewritten
from greendata.jobs.inventory import InventoryRequest, take_inventory
from greendata.jobs.plan import PlanRequest, make_plan
from greendata.jobs.results import catalog_place
from greendata.jobs.rewriting import Rewriter
from greendata.jobs.scope import list_scope
from greendata.jobs.sources import REWRITTEN_FORMATS, choose_sources, open_any
from greendata.model import Dataset
from greendata.progress import Progress
from greendata.recompress.gate import predict
from greendata.recompress.sources import Grade
from greendata.recompress.table_formats import table_above, table_format
from greendata.shards.base import ShardError
from greendata.shards.choosing import ChosenShard
from greendata.shards.formats import inspect
from greendata.shards.writer import PROFILES
from greendata.stores.opening import Stores, normalise_uri

if TYPE_CHECKING:
    from datetime import datetime

    from greendata.config import DatasetSettings, StoreSettings
    from greendata.execute.records import Action
    from greendata.jobs.scope import Scope
    from greendata.model import StoredObject
    from greendata.plan.document import PlanDocument
    from greendata.stores.base import Store

_ONE_FILE = 1 << 62
"""An object becomes one object, however large."""


def rewriting(store: Store) -> Rewrite:
    """Writes single objects with the profiles of ``greendata recompress``, in their order of rows.

    Similar rows are put together across the shards of a dataset; one shard alone gains little, and
    its readers expect its order.
    """

    @functools.lru_cache(maxsize=4096)
    def table_of(folder: str) -> tuple[str, str] | None:
        return table_above(store, folder)

    def rewrite(item: StoredObject, profile: str, folder: Path) -> Rewritten:
        table = table_of(item.uri.rpartition("/")[0])
        if table is not None:
            raise UnsupportedError(
                f"{item.uri}: belongs to a {table[0]} table, which only its engine may rewrite:"
                f" use {table[1]}."
            )
        content = inspect(store, item)
        if content.format not in REWRITTEN_FORMATS:
            raise ShardError(f"{item.uri}: {content.format} is nothing that can be written again.")
        source = open_any(store, ChosenShard(item, content.format, content.codec), Grade.LOGICAL)
        writer = Rewriter(
            store=store,
            profile=replace(PROFILES[profile], file_bytes=_ONE_FILE, is_similar=False),
            folder=folder,
            progress=Progress(),
        )
        written = writer.write(source, "new")
        return Rewritten(
            path=written.files[0].path,
            digest=written.digest,
            source_sha256=source.sha256,
            source_format=source.format,
        )

    return rewrite


def manifests(
    datasets: Sequence[DatasetSettings], stores: Sequence[StoreSettings]
) -> Callable[[Action], str | None]:
    """The manifest of the dataset that an action's object is in, by its longest prefix.

    A relative ``manifest`` is below that prefix.
    """
    found = {
        normalise_uri(prefix, stores).rstrip("/"): entry.manifest
        for entry in datasets
        for prefix in entry.prefixes
    }

    def manifest_of(action: Action) -> str | None:
        above = [prefix for prefix in found if action.uri.startswith(f"{prefix}/")]
        prefix = max(above, key=len, default=None)
        manifest = None if prefix is None else found[prefix]
        if manifest is None:
            return None
        return manifest if "://" in manifest else f"{prefix}/{manifest}"

    return manifest_of


@dataclass(frozen=True, slots=True, kw_only=True)
class InPlaceRequest:
    """Plan into ``directory``, which must not hold anything, to write objects again in place.

    Attributes:
        min_saving: share of the stored bytes that a sample must promise.
        allow_window: objects may get another name although no manifest tells their readers.
    """

    uris: tuple[str, ...]
    directory: Path
    catalog: str
    stores: tuple[StoreSettings, ...] = ()
    datasets: tuple[DatasetSettings, ...] = ()
    limits: LimitSettings = field(default_factory=LimitSettings)
    profile: str = "stream"
    min_saving: float = LEAST_SAVING
    allow_window: bool = False
    workers: int = 2


def plan_in_place(request: InPlaceRequest, *, progress: Progress, now: datetime) -> PlanDocument:
    """Take stock of the objects, measure samples of them, and plan with the one policy.

    All that was named may change, so that ``limits.max_percent`` says nothing here.

    Raises:
        UnsupportedError: what was named belongs to a table format.
        ObjectNotFoundError, DeniedError, StoreUnreachableError: of a URI.
        UsageError: the directory holds something.
    """
    store = Stores(request.stores)
    uris = tuple(target for uri in request.uris for target in store.expand(uri))
    place = catalog_place(request.catalog, request.stores).uri
    datasets = tuple(
        Dataset(name=entry.name, prefixes=entry.prefixes, priority=entry.priority)
        for entry in request.datasets
    )
    scope = list_scope(store, uris, datasets, place)
    table = table_format(item.uri for item in scope.objects)
    if table is not None:
        raise UnsupportedError(
            f"{', '.join(request.uris)}: holds files of a {table[0]} table, which only its engine"
            " may rewrite.",
            hint=f"Use {table[1]}, with zstd as its codec.",
        )
    take_inventory(
        InventoryRequest(uris=uris, catalog=request.catalog, stores=request.stores),
        progress=progress,
        now=now,
    )
    _measure(store, scope, request, progress, now)
    with tempfile.TemporaryDirectory(prefix="greendata-policy-") as scratch:
        policy = Path(scratch) / "recompress-in-place.yaml"
        policy.write_text(json.dumps(_policy(uris, request)), encoding="utf-8")
        return make_plan(
            PlanRequest(
                paths=(str(policy),),
                directory=request.directory,
                catalog=request.catalog,
                as_of=now,
                stores=request.stores,
                datasets=request.datasets,
                limits=in_place_limits(request.limits),
                threads=request.workers,
            )
        )


def in_place_limits(limits: LimitSettings) -> LimitSettings:
    """Those of a plan whose scope was named by a person: all of it may change."""
    return replace(limits, max_percent=100.0)


def _measure(
    store: Store, scope: Scope, request: InPlaceRequest, progress: Progress, now: datetime
) -> None:
    """Keep in the catalog what samples of the objects promise."""
    import pyarrow as pa

    from greendata.catalog.schemas import SCHEMAS
    from greendata.catalog.tables import Catalog

    chosen, _, _ = choose_sources(store, scope)
    profile = replace(PROFILES[request.profile], is_similar=False)
    progress.stage("sampling", sum(shard.item.size_bytes for shard in chosen))

    def measured(shard: ChosenShard) -> dict[str, Any] | None:
        item = shard.item
        try:
            found = predict(store, item, shard.format, shard.codec, profile)
        except (UnreadableShardError, LimitExceededError, ObjectNotFoundError, DeniedError):
            return None
        progress.advance(item.size_bytes)
        return {
            "store_id": item.store_id,
            "uri": item.uri,
            "etag": item.etag,
            "profile": request.profile,
            "size_bytes": item.size_bytes,
            "written_bytes": found.predicted_bytes,
            "is_sampled": True,
            "measured_at": now,
        }

    with ThreadPoolExecutor(request.workers) as pool:
        rows = [row for row in pool.map(measured, chosen) if row is not None]
    catalog = Catalog.open(catalog_place(request.catalog, request.stores), create=True)
    table = pa.Table.from_pylist(rows, schema=SCHEMAS["recompressions"])
    if rows:
        catalog.write("recompressions", new_id(now), table)


def _policy(uris: Sequence[str], request: InPlaceRequest) -> dict[str, Any]:
    action: dict[str, Any] = {"profile": request.profile, "min_saving": request.min_saving}
    policy: dict[str, Any] = {
        "name": "recompress-in-place",
        "description": "As asked for on the command line.",
        "scope": {"prefixes": list(uris)},
        "where": f"recompress_ratio <= {1 - request.min_saving:.6f}",
        "action": {"recompress": action},
    }
    if request.allow_window:
        action["allow_window"] = True
        policy["guard"] = {"readers": "none"}
    return {"version": 1, "policies": [policy]}
