"""The summary of a scan, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from greendata.cli.output import print_line, print_table, visible_uri
from greendata.units import (
    format_binary_bytes,
    format_bytes,
    format_count,
    format_rate,
    format_seconds,
    percent,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from greendata.cli.settings import Settings
    from greendata.jobs.estimate import ScanEstimate
    from greendata.model import DatasetSummary, ScanSummary

LINES_SHOWN = 10
"""Of each list of objects or documents; the JSON has them all."""

COLUMNS = (
    "dataset",
    "objects",
    "stored",
    "documents",
    "text",
    "exact dups",
    "near dups",
    "redundant docs",
    "redundant text",
    "within",
    "across",
)


def show_scan(summary: ScanSummary, settings: Settings) -> None:
    """Tables and lines: what was found, what was left out and why, what it cost."""
    _show_datasets(summary)
    print_line()
    _show_findings(summary)
    _show_left_out(summary, settings)
    _show_cost(summary, settings)
    for dataset in summary.datasets:
        _show_quality(dataset)
    for warning in summary.warnings:
        print_line(f"Warning: {warning}")
    for alarm in summary.alarms:
        print_line(f"Alarm: {visible_uri(alarm.message)}")
        print_line(f"  for example {', '.join(map(visible_uri, alarm.examples))}")


def _show_quality(dataset: DatasetSummary) -> None:
    """Documents that train nothing, and the commonest line; nothing where there is none."""
    hints = dataset.quality
    counts = {
        "empty": hints.empty_documents,
        "of fewer words than a shingle": hints.short_documents,
        "not UTF-8": hints.invalid_documents,
    }
    parts = [f"{format_count(count)} {what}" for what, count in counts.items() if count]
    if hints.repeated_lines:
        first = hints.repeated_lines[0]
        parts.append(
            f"in {format_count(first.documents)} of {format_count(hints.sampled_documents)} sampled"
            f" documents stands the line {visible_uri(first.line)!r}"
        )
    if parts:
        print_line(f"Quality of {visible_uri(dataset.name)}: {'; '.join(parts)}.")


def _show_datasets(summary: ScanSummary) -> None:
    rows = [_row(dataset) for dataset in summary.datasets]
    if len(rows) > 1:
        rows.append(_total_row(summary))
    print_table(COLUMNS, rows, right=COLUMNS[1:])


def _row(dataset: DatasetSummary) -> list[str]:
    return [
        visible_uri(dataset.name),
        format_count(dataset.objects),
        format_bytes(dataset.object_bytes),
        format_count(dataset.documents),
        format_bytes(dataset.text_bytes),
        format_count(dataset.exact_duplicate_documents),
        format_count(dataset.near_duplicate_documents),
        _with_share(
            format_count(dataset.redundant_documents),
            dataset.redundant_documents,
            dataset.documents,
        ),
        _with_share(
            format_bytes(dataset.redundant_text_bytes),
            dataset.redundant_text_bytes,
            dataset.text_bytes,
        ),
        format_count(dataset.redundant_documents_within),
        format_count(dataset.redundant_documents_across),
    ]


def _total_row(summary: ScanSummary) -> list[str]:
    return [
        "total",
        format_count(summary.objects),
        format_bytes(summary.object_bytes),
        format_count(summary.documents),
        format_bytes(summary.text_bytes),
        format_count(summary.exact_duplicate_documents),
        format_count(summary.near_duplicate_documents),
        _with_share(
            format_count(summary.redundant_documents),
            summary.redundant_documents,
            summary.documents,
        ),
        _with_share(
            format_bytes(summary.redundant_text_bytes),
            summary.redundant_text_bytes,
            summary.text_bytes,
        ),
        format_count(sum(dataset.redundant_documents_within for dataset in summary.datasets)),
        format_count(sum(dataset.redundant_documents_across for dataset in summary.datasets)),
    ]


def _with_share(text: str, part: int, whole: int) -> str:
    return f"{text} ({percent(part, whole)})"


def _show_findings(summary: ScanSummary) -> None:
    print_line(
        f"Redundant: {format_count(summary.redundant_documents)} of"
        f" {format_count(summary.documents)} documents"
        f" ({percent(summary.redundant_documents, summary.documents)}),"
        f" {format_bytes(summary.redundant_text_bytes)} of {format_bytes(summary.text_bytes)} of"
        f" text ({percent(summary.redundant_text_bytes, summary.text_bytes)})."
    )
    print_line(
        "Every near-duplicate was verified: the Jaccard similarity of the two texts"
        f" ({summary.parameters.shingle_size}-word shingles) is at least"
        f" {summary.parameters.threshold:g}. Of {format_count(summary.candidate_pairs)} candidate"
        f" pairs {format_count(summary.verified_pairs)} passed."
    )
    if summary.unverified_candidates:
        print_line(
            f"{_counted(summary.unverified_candidates, 'candidate')} could not be verified and"
            " are not counted: greendata duplicates --kind candidate"
        )
    if summary.capped_comparisons:
        print_line(
            f"{_counted(summary.capped_comparisons, 'comparison')} were left out by the cap on"
            " rounds."
        )


def _counted(number: int, noun: str) -> str:
    return f"{format_count(number)} {noun}{'' if number == 1 else 's'}"


def _show_left_out(summary: ScanSummary, settings: Settings) -> None:
    if summary.objects_unchanged:
        print_line(
            f"Unchanged since the last scan and not read again:"
            f" {_counted(summary.objects_unchanged, 'object')}."
        )
    if summary.objects_removed:
        print_line(f"Gone since the last scan: {_counted(summary.objects_removed, 'object')}.")
    _show_text_columns(summary)
    if summary.null_documents:
        print_line(f"Without text: {_counted(summary.null_documents, 'record')}.")
    _show_list(
        f"Skipped {_counted(summary.skipped_documents, 'document')}",
        [
            f"{visible_uri(document.uri)} row {document.row}: {document.detail}"
            for document in summary.skipped_document_examples
        ],
        summary.skipped_documents,
    )
    _show_list(
        f"Skipped {_counted(len(summary.skipped), 'object')} that could not be read",
        [f"{visible_uri(item.uri)}: {item.reason}: {item.detail}" for item in summary.skipped],
        len(summary.skipped),
    )
    _show_ignored(summary, settings)


def _show_text_columns(summary: ScanSummary) -> None:
    chosen = sorted({name for dataset in summary.datasets for name in dataset.text_columns})
    if chosen:
        print_line(f"Text column: {', '.join(chosen)} (--text-column names another).")


def _show_list(title: str, lines: Sequence[str], total: int) -> None:
    """Up to ten lines, and how many there are besides."""
    if not total:
        return
    print_line(f"{title}:")
    for line in lines[:LINES_SHOWN]:
        print_line(f"  {line}")
    more = total - min(len(lines), LINES_SHOWN)
    if more:
        print_line(f"  and {format_count(more)} more")


def _show_ignored(summary: ScanSummary, settings: Settings) -> None:
    if not summary.ignored:
        return
    what = f"Ignored {_counted(len(summary.ignored), 'file')} that hold no documents"
    if settings.verbosity > 0:
        lines = [f"{visible_uri(item.uri)}: {item.detail}" for item in summary.ignored]
        _show_list(what, lines, len(lines))
    else:
        print_line(f"{what} (-v names them).")


def _show_cost(summary: ScanSummary, settings: Settings) -> None:
    print_line(
        f"Time {format_seconds(summary.seconds)} after {format_seconds(summary.startup_seconds)} of"
        f" start-up, {format_rate(summary.read_text_bytes, summary.seconds)} of text,"
        f" {format_seconds(summary.cpu_seconds)} of CPU, peak memory"
        f" {format_binary_bytes(summary.peak_rss_bytes)}."
    )
    if settings.verbosity > 0:
        for stage, seconds in summary.stages.items():
            print_line(f"  {stage}: {format_seconds(seconds)}")


def show_estimate(estimate: ScanEstimate) -> None:
    """What a scan would read, and its price."""
    print_line(
        f"Would read {_counted(estimate.objects, 'object')} of"
        f" {format_bytes(estimate.object_bytes)} in about {format_count(estimate.requests)}"
        f" requests; {format_count(estimate.unchanged_objects)} more are known already."
    )
    print_line(
        f"List price: {estimate.request_usd:.4f} USD for requests, {estimate.retrieval_usd:.4f} USD"
        f" for retrieval, {estimate.egress_usd_low:.2f} to {estimate.egress_usd_high:.2f} USD for"
        " egress (nothing inside the region)."
    )
    if estimate.unread:
        lines = [f"{visible_uri(item.uri)}: {item.detail}" for item in estimate.unread]
        _show_list("Left alone", lines, len(lines))


def show_next(settings: Settings) -> None:
    """The commands that look further, for the catalog that was used."""
    print_line("Next:")
    catalog = settings.catalog_argument
    print_line(f"  greendata duplicates{catalog}    the largest groups, with their texts")
    print_line(
        f"  greendata overlap{catalog}       how much of one object or dataset is in another"
    )
