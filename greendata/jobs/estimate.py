"""What a scan would read and what that costs; which objects it leaves unread for their tier."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from greendata.errors import LimitExceededError, ObjectNotFoundError
from greendata.footprint.classes import READABLE_TIERS, ReadCost, read_cost, tier_of
from greendata.jobs.changes import KnownObjects, options_key
from greendata.model import SCHEMA_VERSION, IgnoredObject, StoredObject

if TYPE_CHECKING:
    from greendata.jobs.request import ScanRequest

_REQUEST_BYTES = 8 << 20
"""About what one ranged request brings."""

_REQUESTS_AN_OBJECT = 4
"""HEAD before and after, the end of the file or its first bytes, and the rest of a division."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanEstimate:
    """What a scan would read, at list prices; ``unread_objects`` are left alone for their tier."""

    objects: int
    object_bytes: int
    unchanged_objects: int
    unread_objects: int
    requests: int
    request_usd: Decimal
    retrieval_usd: Decimal
    egress_usd_low: Decimal
    egress_usd_high: Decimal
    unread: tuple[IgnoredObject, ...] = ()
    schema_version: int = SCHEMA_VERSION

    def as_dict(self) -> dict[str, Any]:
        """The JSON document of ``scan --estimate --json``; USD as decimal text."""
        return asdict(self)


def split_by_tier(
    items: Iterable[StoredObject], known: KnownObjects, options: str, tiers: Collection[str]
) -> tuple[tuple[StoredObject, ...], tuple[IgnoredObject, ...]]:
    """Objects that may be read or need not be, and those that are left alone, with the reason."""
    kept: list[StoredObject] = []
    unread: list[IgnoredObject] = []
    for item in items:
        tier = tier_of(item.uri, item.storage_class)
        if tier in tiers or known.is_current(item, options):
            kept.append(item)
        else:
            unread.append(IgnoredObject(uri=item.uri, detail=_why_unread(tier, item)))
    return tuple(kept), tuple(unread)


def _why_unread(tier: str, item: StoredObject) -> str:
    if tier not in READABLE_TIERS:
        return f"in storage class {item.storage_class} ({tier}): listed, never thawed or read"
    return (
        f"in storage class {item.storage_class}: reading it has a price or makes it look used"
        f" (--read-tiers hot,{tier} reads it)"
    )


def cost_of(items: Iterable[StoredObject]) -> ReadCost:
    """List price of reading these objects once."""
    return read_cost(
        (
            item.uri,
            item.storage_class,
            item.size_bytes,
            _REQUESTS_AN_OBJECT + item.size_bytes // _REQUEST_BYTES,
        )
        for item in items
    )


def check_cost(cost: ReadCost, limit_usd: Decimal) -> None:
    """Raises LimitExceededError where reading may cost more than the limit."""
    if cost.usd_high > limit_usd:
        raise LimitExceededError(
            f"Reading {cost.objects} objects of {cost.size_bytes} bytes may cost up to"
            f" {cost.usd_high:.2f} USD (egress outside the region included), more than"
            f" {limit_usd} USD.",
            hint="Look with --estimate, name less, or raise --max-cost-usd.",
        )


def estimate(request: ScanRequest) -> ScanEstimate:
    """What ``scan`` would read; nothing is read or written.

    Raises:
        ObjectNotFoundError, DeniedError, StoreUnreachableError: of a URI that was asked for.
    """
    from greendata.jobs.results import catalog_place
    from greendata.jobs.scope import list_scope
    from greendata.stores.opening import Stores

    known = _known(request)
    options = options_key(request.read_options)
    own = catalog_place(request.catalog, request.stores).uri
    scope = list_scope(Stores(request.stores), request.uris, request.datasets, own)
    kept, unread = split_by_tier(scope.objects, known, options, request.read_tiers)
    to_read = [item for item in kept if not known.is_current(item, options)]
    cost = cost_of(to_read)
    return ScanEstimate(
        objects=cost.objects,
        object_bytes=cost.size_bytes,
        unchanged_objects=len(kept) - len(to_read),
        unread_objects=len(unread),
        requests=cost.requests,
        request_usd=cost.request_usd,
        retrieval_usd=cost.retrieval_usd,
        egress_usd_low=cost.egress_usd_low,
        egress_usd_high=cost.egress_usd_high,
        unread=unread,
    )


def _known(request: ScanRequest) -> KnownObjects:
    """The objects of the catalog; none where there is no catalog yet."""
    from greendata.catalog.schemas import SCHEMAS
    from greendata.jobs.results import open_catalog

    columns = SCHEMAS["objects"].names
    if request.starts_over:
        return KnownObjects(SCHEMAS["objects"].empty_table())
    try:
        with open_catalog(request.catalog, request.stores) as connection:
            found = connection.sql(f"SELECT {', '.join(columns)} FROM objects").to_arrow_table()
    except ObjectNotFoundError:
        found = SCHEMAS["objects"].empty_table()
    return KnownObjects(found)
