"""What an export came to."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from greendata.cli.output import print_json, visible
from greendata.model import SCHEMA_VERSION
from greendata.units import format_count

if TYPE_CHECKING:
    from greendata.cli.settings import Settings
    from greendata.jobs.export import Destination


def show_export(rows: int, destination: Destination, settings: Settings) -> None:
    """On stderr, so that stdout holds data only; with ``--json`` and a file, a document."""
    if destination.path is None:
        return
    if settings.is_json:
        document = {
            "schema_version": SCHEMA_VERSION,
            "path": str(destination.path),
            "format": destination.file_format,
            "rows": rows,
        }
        print_json(document)
    elif settings.verbosity >= 0:
        count = f"{format_count(rows)} {'row' if rows == 1 else 'rows'}"
        print(f"{visible(str(destination.path))}: {count} written", file=sys.stderr)
