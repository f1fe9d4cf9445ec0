"""What writing objects again with a profile comes to, as far as it was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from greendata.catalog.queries import create_rows, create_view

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from greendata.catalog.tables import Catalog


def create_recompressed(connection: DuckDBPyConnection, catalog: Catalog) -> None:
    """``recompressions``: what each profile comes to, as measured last; ``recompressed_objects``:
    of each object the one that was measured last, and all."""
    create_rows(connection, "recompressions", catalog.files("recompressions", None))
    create_view(
        connection,
        "recompressions",
        "SELECT store_id, uri, etag, profile, arg_max(written_bytes / size_bytes,"
        " (measured_at, NOT is_sampled)) AS ratio, max(measured_at) AS measured_at"
        " FROM recompressions_rows WHERE size_bytes > 0 GROUP BY ALL",
    )
    create_view(
        connection,
        "recompressed_objects",
        "SELECT store_id, uri, etag, arg_max(ratio, (measured_at, profile)) AS ratio,"
        " map_from_entries(list({'k': profile, 'v': ratio})) AS ratios"
        " FROM recompressions GROUP BY ALL",
    )
