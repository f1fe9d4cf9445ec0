"""Overlaps, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from greendata.cli.output import print_line, visible_uri
from greendata.units import format_bytes, format_count, format_share

if TYPE_CHECKING:
    from greendata.jobs.overlap import Overlap, Overlaps


def show_overlaps(found: Overlaps) -> None:
    """Two sentences a pair, the larger share first."""
    if not found.overlaps:
        print_line("No two objects or datasets share documents.")
        _say_indexes(found)
        return
    level = None
    for overlap in found.overlaps:
        if overlap.level != level:
            level = overlap.level
            print_line(f"{level.capitalize()}s:")
        _show(overlap)
    more = found.total_overlaps - len(found.overlaps)
    if more:
        print_line(f"and {format_count(more)} more (--limit, or -o FILE for all)")
    _say_indexes(found)


def _say_indexes(found: Overlaps) -> None:
    for name in found.index_only_datasets:
        print_line(
            f"{visible_uri(name)} is known by its index only: identical texts count,"
            " near-duplicates do not, so its shares are lower bounds."
        )


def _show(overlap: Overlap) -> None:
    a, b = visible_uri(overlap.a), visible_uri(overlap.b)
    forth = _sentence(
        a,
        b,
        overlap.a_in_b_documents,
        overlap.a_in_b_text_bytes,
        overlap.a_in_b_exact_documents,
        overlap.a_documents,
        overlap.a_text_bytes,
    )
    back = _sentence(
        b,
        a,
        overlap.b_in_a_documents,
        overlap.b_in_a_text_bytes,
        overlap.b_in_a_exact_documents,
        overlap.b_documents,
        overlap.b_text_bytes,
    )
    is_forth_first = overlap.a_in_b_documents >= overlap.b_in_a_documents
    for sentence in (forth, back) if is_forth_first else (back, forth):
        print_line(f"  {sentence}")


def _sentence(
    inner: str,
    outer: str,
    documents_share: float,
    text_share: float,
    exact_share: float,
    documents: int,
    text_bytes: int,
) -> str:
    return (
        f"{inner} is {format_share(documents_share)} inside {outer}"
        f" ({format_share(exact_share)} exactly, of {format_count(documents)} documents;"
        f" {format_share(text_share)} of {format_bytes(text_bytes)} of text)"
    )
