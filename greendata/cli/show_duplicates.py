"""Groups of duplicates, for people."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

from greendata.cli.output import print_line, terminal_width, visible, visible_uri
from greendata.units import format_bytes, format_count

if TYPE_CHECKING:
    from greendata.jobs.difference import Difference, Hunk, Segment
    from greendata.jobs.duplicates import DuplicateGroups, Group, Member

WIDTH_OFF_TERMINAL = 100
NARROWEST_COLUMN = 20
LINES_PER_HUNK = 6


def show_groups(found: DuplicateGroups) -> None:
    """The groups, each with its members and a difference; then what was not shown."""
    for number, group in enumerate(found.groups, start=1):
        _show_group(number, group)
        print_line()
    if not found.groups:
        print_line("No duplicates.")
    else:
        print_line(
            f"{_counted(len(found.groups), 'group')} of {format_count(found.total_groups)}; in all"
            f" {_counted(found.total_redundant_documents, 'redundant document')},"
            f" {format_bytes(found.total_redundant_text_bytes)} of text."
        )
    if found.unverified_candidates:
        print_line(
            f"{_counted(found.unverified_candidates, 'pair')} could not be compared and are not"
            " counted (--kind candidate)."
        )


def _counted(number: int, noun: str) -> str:
    return f"{format_count(number)} {noun}{'' if number == 1 else 's'}"


def _show_group(number: int, group: Group) -> None:
    print_line(
        f"{number}. {_counted(group.redundant_documents, 'redundant document')},"
        f" {format_bytes(group.redundant_text_bytes)} of text"
    )
    print_line(
        f"   kept         {visible_uri(group.kept_uri)} row {group.kept_row}"
        f" ({group.kept_dataset}, {format_bytes(group.kept_text_bytes)})"
    )
    for member in group.duplicates:
        print_line(f"   {_label(member):<12} {_place(member)}")
    more = group.redundant_documents - len(group.duplicates)
    if more:
        print_line(f"   and {format_count(more)} more (--members)")
    if group.text_problem is not None:
        print_line(f"   no texts: {group.text_problem}")
    if group.difference is not None:
        _show_start(group.text_start or "")
        show_difference(group.difference)


def _show_start(text: str) -> None:
    """How the kept text begins, in one line."""
    width = (terminal_width() or WIDTH_OFF_TERMINAL) - len("   begins       ")
    words = visible(" ".join(text.split()))
    print_line(f"   begins       {_cut(words, max(width, NARROWEST_COLUMN))}")


def _cut(text: str, width: int) -> str:
    """At most ``width`` terminal cells of ``text``."""
    from rich.cells import cell_len, set_cell_size

    return text if cell_len(text) <= width else f"{set_cell_size(text, width - 1)}…"


def _label(member: Member) -> str:
    if member.kind != "near" or member.jaccard is None:
        return member.kind
    return f"near {_shown(member.jaccard)}"


def _shown(jaccard: float) -> str:
    """Three decimals, cut: 0.9996 is not shown as 1."""
    return f"{int(jaccard * 1000) / 1000:.3f}"


def _place(member: Member) -> str:
    contained = (
        ""
        if member.containment is None or member.kind == "exact"
        else f", {int(member.containment * 100)} % contained"
    )
    return (
        f"{visible_uri(member.document_uri)} row {member.document_row}"
        f" ({member.document_dataset}, {format_bytes(member.document_text_bytes)}{contained})"
    )


def show_difference(difference: Difference) -> None:
    """Kept words on the left, the member's on the right, what differs in brackets.

    Nothing where no word differs.
    """
    if not difference.hunks:
        return
    width = ((terminal_width() or WIDTH_OFF_TERMINAL) - 8) // 2
    width = max(width, NARROWEST_COLUMN)
    print_line(f"   {'kept':<{width}} | least similar")
    for number, hunk in enumerate(difference.hunks):
        if number:
            print_line(f"   {'···':<{width}} | ···")
        for left, right in _side_by_side(hunk, width):
            print(f"   {left} | {right}".rstrip())
    if difference.is_partial:
        print_line("   … more differences follow")


def _side_by_side(hunk: Hunk, width: int) -> list[tuple[str, str]]:
    left, right = _wrapped(hunk.kept, width), _wrapped(hunk.document, width)
    pairs = list(zip_longest(left, right, fillvalue=" " * width))
    return pairs[:LINES_PER_HUNK]


def _wrapped(segments: tuple[Segment, ...], width: int) -> list[str]:
    """Lines of exactly ``width`` terminal cells, control characters escaped."""
    from rich.cells import chop_cells, set_cell_size

    text = " ".join(
        f"[{visible(segment.text)}]" if segment.is_changed else visible(segment.text)
        for segment in segments
    )
    lines: list[str] = [""]
    for word in text.split(" "):
        for piece in chop_cells(word, width) or [""]:
            _append(lines, piece, width)
    return [set_cell_size(line, width) for line in lines]


def _append(lines: list[str], piece: str, width: int) -> None:
    from rich.cells import cell_len

    joined = f"{lines[-1]} {piece}" if lines[-1] else piece
    if cell_len(joined) <= width:
        lines[-1] = joined
    else:
        lines.append(piece)
