"""What a report came to."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from greendata.cli.output import print_json, visible
from greendata.model import SCHEMA_VERSION
from greendata.units import format_bytes

if TYPE_CHECKING:
    from greendata.cli.settings import Settings
    from greendata.jobs.report import Target
    from greendata.report.document import Report


def show_report(report: Report, size_bytes: int, target: Target, settings: Settings) -> None:
    """On stderr, so that stdout holds the report only; with ``--json`` and a file, a document."""
    if settings.verbosity >= 0:
        for warning in report.warnings:
            print(f"note: {visible(warning)}", file=sys.stderr)
    if target.path is None:
        return
    if settings.is_json:
        document = {
            "schema_version": SCHEMA_VERSION,
            "path": str(target.path),
            "format": target.file_format,
            "size_bytes": size_bytes,
        }
        print_json(document)
    elif settings.verbosity >= 0:
        print(f"{visible(str(target.path))}: {format_bytes(size_bytes)} written", file=sys.stderr)
