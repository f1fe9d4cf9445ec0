"""What recompressing comes to, kept in the catalog: policies ask for it, plans price with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import pyarrow as pa

from greendata.catalog.commits import new_id
from greendata.catalog.schemas import SCHEMAS

if TYPE_CHECKING:
    from greendata.catalog.tables import Catalog
    from greendata.model import StoredObject
    from greendata.stores.opening import Stores


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """An object, and how many bytes it has when a profile writes it, or a sample of it says."""

    item: StoredObject
    written_bytes: int
    is_sampled: bool


def keep_measures(
    catalog: Catalog, stores: Stores, profile: str, found: Sequence[Measure], now: datetime
) -> None:
    """Add them to the table ``recompressions``; of one object what all of it came to counts."""
    whole = {entry.item.uri for entry in found if not entry.is_sampled}
    rows = [
        {
            "store_id": stores.store_of(entry.item.uri).store_id,
            "uri": entry.item.uri,
            "etag": entry.item.etag,
            "profile": profile,
            "size_bytes": entry.item.size_bytes,
            "written_bytes": entry.written_bytes,
            "is_sampled": entry.is_sampled,
            "measured_at": now,
        }
        for entry in found
        if not entry.is_sampled or entry.item.uri not in whole
    ]
    table = pa.Table.from_pylist(rows, schema=SCHEMAS["recompressions"])
    catalog.write("recompressions", new_id(now), table)
