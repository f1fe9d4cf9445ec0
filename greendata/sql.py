"""Opening DuckDB: bounded memory, spill to a named folder, nothing fetched, settings locked."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from greendata.errors import LimitExceededError, StoreUnreachableError

if TYPE_CHECKING:
    import duckdb

SMALLEST_MEMORY_BYTES = 32 * 2**20
"""Below this DuckDB cannot run the program's joins even with spill."""


def load_libraries() -> None:
    """Import DuckDB and what feeds it now: 0.2 s of start-up rather than of the work."""
    for name in ("duckdb", "pyarrow.compute", "pyarrow.parquet"):
        importlib.import_module(name)


def open_duckdb(
    *, memory_bytes: int, spill_directory: Path | str, threads: int
) -> duckdb.DuckDBPyConnection:
    """An in-memory database that spills to ``spill_directory`` beyond ``memory_bytes``.

    Files can be read (that is what it is for); extensions are neither loaded nor fetched, and
    settings cannot be changed afterwards. The folder is made when DuckDB first spills.
    """
    import duckdb

    connection = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": f"{max(memory_bytes, SMALLEST_MEMORY_BYTES)}B",
            "temp_directory": str(spill_directory),
            "threads": max(threads, 1),
            "preserve_insertion_order": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
        },
    )
    for setting in ("TimeZone = 'UTC'", "enable_progress_bar = false", "lock_configuration = true"):
        connection.execute(f"SET {setting}")
    return connection


@contextmanager
def temporary_duckdb(
    place: Path | str, *, memory_bytes: int, threads: int
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database for queries about ``place``, with their errors; its spill goes with it."""
    with (
        tempfile.TemporaryDirectory(prefix="greendata-") as spill_directory,
        open_duckdb(
            memory_bytes=memory_bytes, spill_directory=spill_directory, threads=threads
        ) as connection,
        query_errors(place),
    ):
        yield connection


@contextmanager
def query_errors(place: Path | str) -> Iterator[None]:
    """Turn a lack of memory or disk during queries about ``place`` into this program's errors."""
    import duckdb

    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise LimitExceededError(
            f"{place}: the joins need more memory or spill space: {_first_line(error)}",
            hint="Give more with --memory, or free disk space beside the catalog.",
        ) from error
    except duckdb.IOException as error:
        raise StoreUnreachableError(
            f"{place}: reading or spilling failed: {_first_line(error)}",
            hint="Check the disk and run again: finished objects are not read twice.",
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]
