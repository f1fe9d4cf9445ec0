"""Reading single documents back from where a scan found them, for a person to look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from greendata.errors import GreendataError, ObjectChangedError
from greendata.jobs.rereading import known_objects
from greendata.shards.opening import open_shard

if TYPE_CHECKING:
    import duckdb

    from greendata.stores.base import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentText:
    """A document's text, or the reason why there is none to show."""

    text: str = ""
    problem: str | None = None


class DocumentReader:
    """Reads documents of the catalog behind ``connection`` from their objects, one at a time."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, store: Store) -> None:
        self._store = store
        self._objects = {known.item.uri: known for known in known_objects(connection).values()}

    def read(self, uri: str, row: int, row_group: int) -> DocumentText:
        """The text, if the object is still the one that was scanned.

        ``row_group`` is -1 where the format has none.
        """
        import numpy as np

        known = self._objects.get(uri)
        if known is None:
            return DocumentText(problem=f"{uri}: is not in the catalog any more")
        rows = np.array([row], dtype=np.int64)
        groups = None if row_group < 0 else np.array([row_group], dtype=np.int64)
        try:
            shard = open_shard(self._store, known.item, known.options, known.format, known.codec)
            for batch in shard.read_rows(rows, groups):
                if row in batch.rows:
                    position = batch.rows.tolist().index(row)
                    return _decoded(uri, row, batch.texts[position].as_py())
        except ObjectChangedError:
            return DocumentText(problem=f"{uri}: changed since it was scanned; scan it again")
        except GreendataError as error:
            return DocumentText(problem=error.message)
        return DocumentText(problem=f"{uri}: row {row} cannot be read")


def _decoded(uri: str, row: int, value: str | bytes | None) -> DocumentText:
    if value is None:
        return DocumentText(problem=f"{uri}: row {row} has no text")
    return DocumentText(text=value if isinstance(value, str) else value.decode("utf-8", "replace"))
