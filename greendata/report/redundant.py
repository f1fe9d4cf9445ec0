"""The section on what is redundant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from greendata.report.figures import (
    NONE_CELL,
    bars,
    bytes_cell,
    count_cell,
    counted,
    name_cell,
    share_cell,
    words_cell,
)
from greendata.report.page import (
    Bar,
    Block,
    Cell,
    Column,
    HeatMap,
    Notes,
    Row,
    Section,
    Square,
    Table,
)
from greendata.units import format_share

if TYPE_CHECKING:
    from greendata.report.document import (
        DuplicateGroup,
        RedundantDataset,
        RedundantSection,
        StoredSection,
    )

_COLUMNS = (
    Column(title="Dataset", definition="dataset"),
    Column(title="Documents", definition="documents", is_number=True),
    Column(title="Redundant", definition="redundant-documents", is_number=True),
    Column(title="of them exact", definition="redundant-documents", is_number=True),
    Column(title="within", definition="within-across", is_number=True),
    Column(title="across", definition="within-across", is_number=True),
    Column(title="Redundant text", definition="redundant-text", is_number=True, is_wide=True),
    Column(title="of its text", definition="redundant-text", is_number=True),
)


def redundant_section(found: RedundantSection, stored: StoredSection) -> Section:
    """Redundancy by dataset, the map of overlaps, the largest groups, and identical objects."""
    blocks: tuple[Block, ...]
    if not found.is_scanned:
        blocks = (
            Notes(
                lines=("Nothing was scanned into this catalog yet. Run: `greendata scan URI`",),
                tone="muted",
            ),
        )
    else:
        blocks = (
            _datasets_table(found),
            *_map(found),
            *_groups(found),
            *_candidates(found),
        )
    return Section(
        key="redundant",
        title="What is redundant",
        lead=(
            "Of the documents that scans read. Every near-duplicate was verified by comparing both"
            " texts; nothing is guessed from hashes alone."
        ),
        blocks=(*blocks, *_identical(stored)),
    )


def _identical(stored: StoredSection) -> Iterator[Notes]:
    if stored.identical_objects:
        told = counted(stored.identical_objects, "object")
        size = bytes_cell(stored.identical_bytes).plain
        yield Notes(
            title="Identical objects",
            definition="identical",
            lines=(
                f"The bytes of {told}, {size}, are those of another object, by SHA-256 of both.",
            ),
        )


def _datasets_table(found: RedundantSection) -> Table:
    widths = bars([entry.redundant_text_bytes for entry in found.datasets])
    rows = [
        Row(cells=(name_cell(entry.name), *_counts(entry, width)))
        for entry, width in zip(found.datasets, widths, strict=True)
    ]
    if found.others is not None:
        words = words_cell(f"{found.others.groups:,} more")
        rows.append(Row(cells=(words, *_counts(found.others)), is_fixed=True))
    if len(rows) > 1:
        cells = (words_cell("Total"), *_counts(found.total))
        rows.append(Row(cells=cells, is_fixed=True, is_total=True))
    return Table(key="redundant-by-dataset", title="By dataset", columns=_COLUMNS, rows=tuple(rows))


def _counts(entry: RedundantDataset, bar: Bar | None = None) -> tuple[Cell, ...]:
    return (
        count_cell(entry.documents),
        count_cell(entry.exact_documents + entry.near_documents),
        count_cell(entry.exact_documents),
        count_cell(entry.within_documents),
        count_cell(entry.across_documents),
        bytes_cell(entry.redundant_text_bytes, bar),
        share_cell(entry.redundant_text_bytes, entry.text_bytes),
    )


def _map(found: RedundantSection) -> Iterator[HeatMap]:
    names = found.overlap_datasets
    if not names:
        return
    shares = {(cell.a, cell.b): cell for cell in found.overlaps}
    squares = []
    for a in names:
        row = []
        for b in names:
            cell = shares.get((a, b))
            if a == b:
                row.append(Square(text="", level=None, words=""))
            elif cell is None or not cell.share:
                row.append(Square(text="0", level=0, words="none"))
            else:
                row.append(_square(cell.share, cell.exact_share))
        squares.append(tuple(row))
    yield HeatMap(
        key="overlap",
        title="Overlap of datasets",
        names=names,
        squares=tuple(squares),
        note=(
            "Read along a row: how much of it, in percent of its documents, is in each column."
            + _pairs_note(found)
        ),
        definition="overlap",
    )


def _square(share: float, exact: float) -> Square:
    return Square(
        text=format_share(share).removesuffix(" %").removesuffix(".0"),
        level=max(1, min(10, round(share * 10))),
        words=f"{format_share(share)}, {format_share(exact)} exactly",
    )


def _pairs_note(found: RedundantSection) -> str:
    shown = len(found.overlaps) // 2
    if found.total_overlaps <= shown:
        return ""
    return (
        f" {shown:,} of {found.total_overlaps:,} pairs of datasets, those that share most:"
        " `greendata overlap --level dataset` has all."
    )


def _groups(found: RedundantSection) -> Iterator[Table]:
    if not found.groups:
        return
    widths = bars([group.redundant_text_bytes for group in found.groups])
    columns = [
        Column(title="Kept document", definition="group"),
        Column(title="Redundant text", definition="redundant-text", is_number=True, is_wide=True),
        Column(title="Documents", definition="redundant-documents", is_number=True),
        Column(title="Lowest similarity", definition="group", is_number=True),
        Column(title="Dataset", definition="dataset"),
    ]
    has_texts = any(group.text_start or group.text_problem for group in found.groups)
    if has_texts:
        columns.append(Column(title="Begins", definition="group"))
    yield Table(
        key="groups",
        title="Largest groups of duplicates",
        columns=tuple(columns),
        rows=tuple(
            Row(cells=tuple(_group_cells(group, width, has_texts=has_texts)))
            for group, width in zip(found.groups, widths, strict=True)
        ),
        note=(
            f"{len(found.groups):,} of {found.total_groups:,} groups, by redundant text;"
            " `greendata duplicates` has all."
        ),
    )


def _group_cells(group: DuplicateGroup, bar: Bar | None, *, has_texts: bool) -> Iterator[Cell]:
    yield Cell(
        text=f"{group.kept_uri} row {group.kept_row}",
        sort=f"{group.kept_uri}#{group.kept_row:020}",
        is_name=True,
    )
    yield bytes_cell(group.redundant_text_bytes, bar)
    yield count_cell(group.redundant_documents)
    if group.lowest_jaccard is None:
        yield NONE_CELL
    else:
        yield Cell(text=f"{group.lowest_jaccard:.3f}", sort=group.lowest_jaccard)
    yield name_cell(group.kept_dataset)
    if has_texts and group.text_start is not None:
        yield Cell(text=group.text_start, sort=group.text_start, is_name=True)
    elif has_texts:
        yield words_cell(group.text_problem or "not readable", tone="muted")


def _candidates(found: RedundantSection) -> Iterator[Notes]:
    if found.unverified_candidates:
        told = f"Candidates that could not be verified: {found.unverified_candidates:,}."
        yield Notes(lines=(f"{told} Their texts could not be read; they are counted nowhere.",))
