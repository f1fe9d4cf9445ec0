"""A try-out on data every machine has: the sources and documents of this Python installation.

Two versions of a small dataset are written from them, one as zstd JSON Lines, one as snappy
Parquet. What differs between the versions is decided by a hash of each file's name, so every run
on the same installation writes the same documents.
"""

from __future__ import annotations

import hashlib
import json
import os
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from greendata.errors import ObjectNotFoundError, UsageError
from greendata.model import SCHEMA_VERSION, Dataset, ScanSummary
from greendata.units import format_bytes

if TYPE_CHECKING:
    from datetime import datetime

    from greendata.jobs.duplicates import DuplicateGroups
    from greendata.jobs.overlap import Overlaps
    from greendata.progress import Progress

DEFAULT_MAX_BYTES = 60_000_000
LARGEST_FILE_BYTES = 1_000_000
"""Larger ones are tables and test data, not text that somebody wrote."""
SHARDS = 4
GROUPS_SHOWN = 2
ENDINGS = (".py", ".rst", ".txt", ".md")
LICENCE_NAMES = ("license", "licence", "copying", "notice", "authors")

PERCENT_ONLY_IN_V1 = 10
PERCENT_ONLY_IN_V2 = 8
PERCENT_EDITED = 5

Fate = Literal["same", "edited", "only_v1", "only_v2"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoDocument:
    """One file of the installation: its name below its root, and its text."""

    name: str
    text: str

    @property
    def fate(self) -> Fate:
        """What becomes of it between the two versions."""
        digest = hashlib.blake2b(self.name.encode("utf-8", "surrogateescape"), digest_size=8)
        place = int.from_bytes(digest.digest(), "little") % 100
        if place < PERCENT_ONLY_IN_V1:
            return "only_v1"
        if place < PERCENT_ONLY_IN_V1 + PERCENT_ONLY_IN_V2:
            return "only_v2"
        return "edited" if place >= 100 - PERCENT_EDITED else "same"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoResult:
    """Where the demo's data is and what was found in it."""

    directory: str
    catalog: str
    summary: ScanSummary
    groups: DuplicateGroups
    near_groups: DuplicateGroups
    overlaps: Overlaps

    def as_dict(self) -> dict[str, Any]:
        """The JSON document of ``demo --json``."""
        return {
            "schema_version": SCHEMA_VERSION,
            "directory": self.directory,
            "catalog": self.catalog,
            "scan": self.summary.as_dict(),
            "groups": self.groups.as_dict()["groups"],
            "near_groups": self.near_groups.as_dict()["groups"],
            "overlaps": self.overlaps.as_dict()["overlaps"],
        }


def run_demo(
    directory: Path, *, max_bytes: int, workers: int, progress: Progress, now: datetime
) -> DemoResult:
    """Write the two versions into ``directory``, scan them and look at what was found.

    Raises:
        UsageError: ``directory`` holds something already.
        ObjectNotFoundError: the installation has no sources to take.
    """
    from greendata.jobs import duplicates, overlap, scan
    from greendata.jobs.request import ScanRequest
    from greendata.stores.local import path_to_uri

    versions = write_versions(directory, max_bytes=max_bytes, progress=progress)
    catalog = str(directory / ".greendata")
    datasets = tuple(
        Dataset(name=name, prefixes=(path_to_uri(str(folder.absolute())),))
        for name, folder in versions.items()
    )
    uris = tuple(uri for dataset in datasets for uri in dataset.prefixes)
    request = ScanRequest(uris=uris, datasets=datasets, catalog=catalog, workers=workers)
    summary = scan.scan(request, progress=progress, now=now)
    largest = duplicates.DuplicatesRequest(catalog=catalog, limit=GROUPS_SHOWN)
    groups = duplicates.find_groups(largest)
    near_groups = duplicates.find_groups(replace(largest, kinds=("near",)))
    overlaps = overlap.find_overlaps(overlap.OverlapRequest(catalog=catalog, level="dataset"))
    return DemoResult(
        directory=str(directory),
        catalog=catalog,
        summary=summary,
        groups=groups,
        near_groups=near_groups,
        overlaps=overlaps,
    )


def write_versions(directory: Path, *, max_bytes: int, progress: Progress) -> dict[str, Path]:
    """Write ``v1`` and ``v2`` below ``directory``; their names and folders."""
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise UsageError(f"{directory}: is not an empty folder", hint="Name one that is new.")
    progress.stage("writing two versions of the demo dataset")
    documents = list(collect_documents(_roots(), max_bytes=max_bytes))
    if not documents:
        raise ObjectNotFoundError(
            "this Python installation has no source files that could be read",
            hint="Scan a folder of your own: greendata scan PATH",
        )
    size = format_bytes(sum(len(document.text) for document in documents))
    progress.message(
        f"{len(documents):,} files of this Python installation, {size}, in two versions"
    )
    folders = {"v1": directory / "v1", "v2": directory / "v2"}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    _write_shards(folders["v1"], first_version(documents), _write_json_lines, "jsonl.zst")
    _write_shards(folders["v2"], second_version(documents), _write_parquet, "parquet")
    return folders


def first_version(documents: Sequence[DemoDocument]) -> list[DemoDocument]:
    """All but what the second version adds."""
    return [document for document in documents if document.fate != "only_v2"]


def second_version(documents: Sequence[DemoDocument]) -> list[DemoDocument]:
    """All but what was dropped, some of it edited."""
    return [
        _edited(document) if document.fate == "edited" else document
        for document in documents
        if document.fate != "only_v1"
    ]


def _edited(document: DemoDocument) -> DemoDocument:
    """The document under a header line, as a release might add."""
    header = f"# Revised for version 2 of this dataset: {document.name}\n"
    return DemoDocument(name=document.name, text=header + document.text)


def _roots() -> tuple[Path, ...]:
    """The standard library and the places packages are installed to."""
    paths = sysconfig.get_paths()
    return tuple(Path(paths[key]) for key in ("stdlib", "purelib", "platlib"))


def collect_documents(roots: Sequence[Path], *, max_bytes: int) -> Iterator[DemoDocument]:
    """Texts below ``roots``, each file once, in the order of their names, up to ``max_bytes``."""
    total = 0
    seen: set[str] = set()
    for root in roots:
        for path in _text_files(root):
            if path in seen:
                continue
            seen.add(path)
            text = _read_text(path)
            if text is None:
                continue
            total += len(text)
            if total > max_bytes:
                return
            yield DemoDocument(name=os.path.relpath(path, root), text=text)


def _text_files(root: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(os.path.realpath(root)):
        folders.sort()
        for name in sorted(files):
            if name.endswith(ENDINGS) or name.lower().startswith(LICENCE_NAMES):
                yield os.path.join(folder, name)


def _read_text(path: str) -> str | None:
    """The file's text; None if it is large, blank, unreadable or not UTF-8."""
    try:
        with open(path, "rb") as stream:
            raw = stream.read(LARGEST_FILE_BYTES + 1)
        text = raw.decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    return text if len(raw) <= LARGEST_FILE_BYTES and text.strip() else None


def _write_shards(folder: Path, documents: Sequence[DemoDocument], write: Any, ending: str) -> None:
    """Deal the documents out to shards, so that related files are not all in one."""
    for number in range(SHARDS):
        write(folder / f"part-{number}.{ending}", documents[number::SHARDS])


def _write_json_lines(path: Path, documents: Sequence[DemoDocument]) -> None:
    import zstandard

    with path.open("wb") as raw, zstandard.ZstdCompressor(level=3).stream_writer(raw) as stream:
        for document in documents:
            line = json.dumps({"name": document.name, "text": document.text})
            stream.write(line.encode("ascii") + b"\n")


def _write_parquet(path: Path, documents: Sequence[DemoDocument]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        "name": pa.array([document.name for document in documents], pa.string()),
        "text": pa.array([document.text for document in documents], pa.string()),
    }
    pq.write_table(pa.table(columns), path, compression="snappy", row_group_size=1_000)
