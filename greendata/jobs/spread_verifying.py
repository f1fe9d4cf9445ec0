"""Verification as tasks: some read texts and leave their shingle sets in files, others compare.

Each text is read once, in the order in which it is stored, by the task that has its object's other
texts; sets are then fetched from wherever they are, so that no pair has to wait for its texts to be
in the same hands. What is compared, and in which rounds, is decided where the scan is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from greendata.dedup.sets import sorted_set
from greendata.dedup.verify import (
    Comparisons,
    Verifier,
    comparison_batches,
    intersections,
    read_sets,
)
from greendata.jobs.rereading import Places, TextReader
from greendata.jobs.textcache import TextCache
from greendata.progress import Progress
from greendata.runners.exchange import FilePiece, TaskFolder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from greendata.config import StoreSettings
    from greendata.jobs.spread import Spread

_TASK_TEXTS = 16_384


class Comparer(Protocol):
    """What ``decide_kept`` asks."""

    def compare(
        self, better: NDArray[np.int32], worse: NDArray[np.int32], later: NDArray[np.int64]
    ) -> Comparisons:
        """The exact comparison of each pair of ranks; ``later`` are needed in other rounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetsTask:
    """Texts to read; ``digests``: uint64 [n, 2], what each must have."""

    places: Places
    digests: NDArray[np.uint64]
    shingle_size: int
    stores: tuple[StoreSettings, ...]
    shared_folder: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sets:
    """Shingle sets of a task's texts: where each begins in the file (-1: none), and its size.

    ``unreadable``: objects whose texts could not be read, with the reason.
    """

    ranks: NDArray[np.int64]
    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]
    unreadable: dict[str, str]
    path: Path = Path()


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareTask:
    """Pairs to compare, as numbers of sets.

    Attributes:
        pairs: int64 [n], what they are to the scan.
        left, right: int64 [n], numbers of sets.
        files, starts, sizes: of each set: the file, by its place in ``paths``, and where in it.
        sets: where tasks do not see the files: all sets, which ``starts`` then is about.
    """

    pairs: NDArray[np.int64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    paths: tuple[Path, ...]
    files: NDArray[np.int32]
    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]
    sets: NDArray[np.uint64] | None = None


def make_sets(task: SetsTask) -> Iterator[FilePiece | Sets]:
    """The task: a file of shingle sets, uint64, and what is where in it."""
    from greendata.stores.opening import Stores

    places = task.places
    reader = TextReader(
        store=Stores(task.stores),
        objects=places.objects,
        texts=TextCache(0),
        orders=places.orders,
        rows=places.rows,
        row_groups=places.row_groups,
        workers=1,
        progress=Progress(),
    )
    with TaskFolder(task.shared_folder) as folder:
        path = folder.path / "sets"
        with path.open("wb") as file:
            verifier = Verifier(
                shingle_size=task.shingle_size,
                digests=task.digests,
                read_texts=reader.read,
                file=file,
                workers=1,
            )
            store = verifier.read(np.arange(len(places.ranks)))
        yield from folder.hand_over(path)
    yield Sets(
        ranks=places.ranks, starts=store.starts, sizes=store.sizes, unreadable=reader.unreadable
    )


def compare_sets(task: CompareTask) -> Iterator[NDArray[np.int64]]:
    """The task: int64 [2, n]: the pairs and how many shingles each has in common."""
    sets, starts = task.sets, task.starts
    if sets is None:
        sets, starts = _fetch(task.paths, task.files, starts, task.sizes)
    arrays = (starts, task.sizes, task.left, task.right)
    # What comes out of an object store cannot be written to, which the kernel insists on.
    found = intersections(np.require(sets, requirements="W"), *(a.copy() for a in arrays))
    yield np.stack([task.pairs, found])


def _only(pieces: Iterator[NDArray[np.int64]]) -> NDArray[np.int64]:
    (piece,) = pieces
    return piece


def _fetch(
    paths: tuple[Path, ...],
    files: NDArray[np.int32],
    starts: NDArray[np.int64],
    sizes: NDArray[np.int64],
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Sets from several files, and where each begins in the result."""
    parts, places, size = [], np.empty(len(starts), np.int64), 0
    for number, path in enumerate(paths):
        chosen = np.flatnonzero(files == number)
        with path.open("rb") as file:
            sets, begins = read_sets(file, starts[chosen], sizes[chosen])
        places[chosen] = begins + size
        parts.append(sets)
        size += len(sets)
    return np.concatenate(parts) if parts else np.empty(0, np.uint64), places


class SpreadVerifier:
    """As Verifier, with tasks in the place of threads."""

    def __init__(self, spread: Spread, verifier: Verifier, reader: TextReader) -> None:
        self._spread = spread
        self._exchange = spread.start()
        self._reader = reader
        self._digests, self._shingle_size = verifier.digests, verifier.shingle_size
        count = len(self._digests)
        self._asked = np.zeros(count, np.bool_)
        self._paths: list[Path] = []
        self._files = np.full(count, -1, np.int32)
        self._starts = np.full(count, -1, np.int64)
        self._sizes = np.zeros(count, np.int64)

    def compare(
        self, better: NDArray[np.int32], worse: NDArray[np.int32], later: NDArray[np.int64]
    ) -> Comparisons:
        """The exact comparison of each pair; each text is read once, whatever the rounds."""
        needed = sorted_set(np.concatenate([better, worse, later]))
        missing = needed[~self._asked[needed]]
        self._asked[missing] = True
        for outcome in self._spread.runner.run(make_sets, self._sets_tasks(missing), self._receive):
            self._take(outcome.get())
        shared = np.full(len(better), -1, np.int64)
        tasks = self._compare_tasks(better, worse)
        for compared in self._spread.runner.run(compare_sets, tasks, _only):
            pairs, found = compared.get()
            shared[pairs] = found
        return Comparisons(
            better=better,
            worse=worse,
            shared=shared,
            better_shingles=self._sizes[better],
            worse_shingles=self._sizes[worse],
        )

    def _sets_tasks(self, ranks: NDArray[np.int64]) -> Iterator[SetsTask]:
        if not len(ranks):
            return
        ordered = self._reader.in_order(ranks)
        for start in range(0, len(ordered), _TASK_TEXTS):
            chosen = ordered[start : start + _TASK_TEXTS]
            yield SetsTask(
                places=self._reader.places(chosen),
                digests=self._digests[chosen],
                shingle_size=self._shingle_size,
                stores=self._spread.stores,
                shared_folder=self._exchange.shared_folder,
            )

    def _receive(self, pieces: Iterator[Any]) -> Sets:
        receiving = self._exchange.receiving()
        for piece in pieces:
            if isinstance(piece, FilePiece):
                receiving.take(piece)
            else:
                found: Sets = piece
        return replace(found, path=receiving.paths[0])

    def _take(self, found: Sets) -> None:
        self._files[found.ranks] = len(self._paths)
        self._starts[found.ranks] = found.starts
        self._sizes[found.ranks] = found.sizes
        self._paths.append(found.path)
        self._reader.unreadable |= found.unreadable

    def _compare_tasks(
        self, better: NDArray[np.int32], worse: NDArray[np.int32]
    ) -> Iterator[CompareTask]:
        readable = np.flatnonzero((self._starts[better] >= 0) & (self._starts[worse] >= 0))
        for pairs in comparison_batches(better, worse, self._sizes, readable):
            both = np.concatenate([better[pairs], worse[pairs]])
            ranks, numbers = np.unique(both, return_inverse=True)
            held, places = np.unique(self._files[ranks], return_inverse=True)
            paths = tuple(self._paths[file] for file in held)
            files = np.asarray(places, np.int32)
            starts, sizes, sets = self._starts[ranks], self._sizes[ranks], None
            if not self._exchange.is_shared:
                sets, starts = _fetch(paths, files, starts, sizes)
            yield CompareTask(
                pairs=pairs,
                left=numbers[: len(pairs)],
                right=numbers[len(pairs) :],
                paths=paths,
                files=files,
                starts=starts,
                sizes=sizes,
                sets=sets,
            )


def comparer(spread: Spread | None, verifier: Verifier, reader: TextReader) -> Comparer:
    """What compares the pairs of a scan: threads of this process, or tasks."""
    return verifier if spread is None else SpreadVerifier(spread, verifier, reader)
