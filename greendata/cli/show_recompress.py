"""What recompress and verify found, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from greendata.cli.output import print_line, print_table, visible_uri
from greendata.units import format_bytes, format_count, format_share

if TYPE_CHECKING:
    from greendata.jobs.export_jsonl import ExportJsonlSummary
    from greendata.jobs.recompress_records import RecompressSummary
    from greendata.jobs.restore_order import RestoreSummary
    from greendata.jobs.verify import VerifySummary

_SHOWN = 10


def show_recompress(found: RecompressSummary) -> None:
    """What was, or would be, written, and what was left alone and why."""
    if found.is_dry_run:
        _show_predicted(found)
    else:
        _show_written(found)
    _show_left(found)
    for entry in found.skipped:
        print_line(f"Skipped ({entry.reason}): {visible_uri(entry.uri)}: {entry.detail}")
    for note in found.notes:
        print_line(f"Note: {note}")


def _show_predicted(found: RecompressSummary) -> None:
    rows = [
        (
            visible_uri(entry.dataset),
            format_count(entry.objects),
            format_count(entry.left_alone),
            format_bytes(entry.size_bytes),
            format_bytes(entry.predicted_bytes),
            format_share(entry.saving),
            f"{entry.seconds:.0f} s",
        )
        for entry in found.predicted
    ]
    columns = ("dataset", "objects", "left alone", "now", "predicted", "saving", "CPU to write")
    print_table(columns, rows, right=columns[1:])
    print_line(
        f"Predicted from a spread sample for profile {found.profile}, order {found.order};"
        " nothing was written."
    )


def _show_written(found: RecompressSummary) -> None:
    if not found.objects or found.destination is None:
        print_line("Nothing was written.")
        return
    saved = 1 - found.size_bytes_out / found.size_bytes_in if found.size_bytes_in else 0.0
    rows = sum(entry.rows for entry in found.sources)
    print_line(
        f"{format_count(len(found.sources))} objects, {format_bytes(found.size_bytes_in)}, are"
        f" {format_count(len(found.objects))} in {visible_uri(found.destination)},"
        f" {format_bytes(found.size_bytes_out)}: {format_share(saved)} less."
    )
    print_line(
        f"Proved: all {format_count(rows)} rows, read back with every page checksum compared, have"
        f" the digests of their sources (grade {found.grade}, order {found.order})."
    )
    if found.order != "keep":
        print_line(
            "The rows are not in their first order, which would put siblings into one batch of"
            " training: `greendata restore-order` brings it back."
        )


def _show_left(found: RecompressSummary) -> None:
    for entry in found.left_alone[:_SHOWN]:
        how = "is" if entry.is_measured else "would be"
        print_line(
            f"Left alone: {visible_uri(entry.uri)}: {format_bytes(entry.size_bytes)} {how}"
            f" {format_bytes(entry.would_be_bytes)}, which saves too little."
        )
    if len(found.left_alone) > _SHOWN:
        print_line(f"… and {format_count(len(found.left_alone) - _SHOWN)} more left alone.")


def show_restored(found: RestoreSummary) -> None:
    """What was brought back."""
    print_line(
        f"{format_count(found.rows)} rows of {format_count(len(found.sources))} sources are in"
        f" {visible_uri(found.destination)} in their first order,"
        f" {format_bytes(found.size_bytes_out)}."
    )
    print_line("Proved: each source's rows have the ordered digest they had when it was read.")


def show_exported(found: ExportJsonlSummary) -> None:
    """What was written, and how much it is what it was."""
    for entry in found.objects:
        how = "byte for byte" if entry.is_exact else "the same values"
        print_line(
            f"{visible_uri(entry.uri)}: {format_count(entry.records)} records,"
            f" {format_bytes(entry.size_bytes)}, {how}."
        )
    for skipped in found.skipped:
        print_line(f"Skipped ({skipped.reason}): {visible_uri(skipped.uri)}: {skipped.detail}")


def show_verify(found: VerifySummary) -> None:
    """What is wrong, or that nothing is."""
    for entry in found.damaged:
        print_line(f"Damaged: {visible_uri(entry.uri)}: {entry.problem}")
    for uri in found.unknown:
        print_line(f"Not in the manifest: {visible_uri(uri)}")
    if found.is_moved and not found.is_full:
        print_line("Note: it was moved since it was written, so only sizes were compared.")
    how = (
        "SHA-256, page checksums and row digests" if found.is_full else "sizes and ETags; not read"
    )
    good = len(found.objects) - len(found.damaged)
    print_line(
        f"{format_count(good)} of {format_count(len(found.objects))} objects,"
        f" {format_bytes(found.size_bytes)}, {format_count(found.rows)} rows, are as they were"
        f" written ({how})."
    )
