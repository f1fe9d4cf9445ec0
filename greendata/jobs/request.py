"""What a scan is asked for, and the fingerprint parameters that follow from it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from greendata.config import StoreSettings
from greendata.errors import UsageError
from greendata.footprint.classes import READABLE_TIERS
from greendata.jobs.guards import DEFAULT_MAX_GROUP, DEFAULT_MAX_REMOVAL_SHARE
from greendata.model import Dataset, FingerprintParameters, KeepOrder

if TYPE_CHECKING:
    from greendata.catalog.commits import Snapshot
    from greendata.shards.base import ReadOptions

DEFAULT_MEMORY_BYTES = 2 << 30
DEFAULT_MAX_RECORD_BYTES = 64 << 20
DEFAULT_MAX_COST_USD = Decimal(100)
RUNNERS = ("local", "ray")


def available_processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on every system
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def asked_threshold(parameters: FingerprintParameters, threshold: float | None) -> float:
    """The threshold asked for; None is that of the last scan.

    Raises:
        UsageError: below what the catalog's index was made for.
    """
    if threshold is None:
        return parameters.threshold
    if threshold < parameters.index_threshold:
        raise UsageError(
            f"--threshold {threshold}: the catalog's index finds pairs from"
            f" {parameters.index_threshold} on.",
            hint="Scan into another catalog with a lower --threshold.",
        )
    return threshold


def keep_order(text: str) -> tuple[KeepOrder, str | None]:
    """What ``--keep`` asks for: an order, and the column it is by.

    Raises:
        UsageError: no such order.
    """
    name, _, column = text.partition(":")
    if name == "column" and column:
        return KeepOrder.SCORE, column
    known = [order.value for order in KeepOrder if order is not KeepOrder.SCORE]
    if text not in known:
        raise UsageError(f"--keep: {text!r} is none of {', '.join(known)}, column:NAME.")
    return KeepOrder(text), None


def check_read_tiers(tiers: Iterable[str]) -> None:
    """Raises UsageError for a tier that is none, or that nothing can be read from."""
    for tier in tiers:
        if tier not in READABLE_TIERS:
            raise UsageError(
                f"--read-tiers: {tier!r} is none of {', '.join(READABLE_TIERS)}.",
                hint="Objects in an archive tier are listed, never thawed.",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanRequest:
    """What to scan and how.

    Attributes:
        uris: normalised URIs of folders, files or globs; each is a dataset of its own unless
            ``datasets`` declares a prefix that holds it.
        memory_bytes: what the scan plans with; joins spill to disk beyond their share.
        starts_over: forget everything the catalog knows (needed to change parameters).
        stores: how object stores are reached.
        read_tiers: tiers that objects are read from; others are listed only.
        max_cost_usd: list price of reading that a scan may come to, egress included.
        runner: ``local``, threads of this process, or ``ray``, tasks of a cluster.
        ray_address: the cluster; None starts one on this machine.
        ray_folder: where tasks leave files, best a folder that all machines see.
    """

    uris: tuple[str, ...]
    datasets: tuple[Dataset, ...] = ()
    catalog: str = ".greendata"
    threshold: float = 0.8
    shingle_size: int = 5
    num_perm: int = 128
    seed: int = 1
    workers: int = 0
    memory_bytes: int = DEFAULT_MEMORY_BYTES
    text_column: str | None = None
    whole_rows: bool = False
    lines: bool = False
    format: str | None = None
    max_record_bytes: int = DEFAULT_MAX_RECORD_BYTES
    starts_over: bool = False
    stores: tuple[StoreSettings, ...] = ()
    read_tiers: tuple[str, ...] = ("hot",)
    max_cost_usd: Decimal = DEFAULT_MAX_COST_USD
    max_group: int = DEFAULT_MAX_GROUP
    max_removal_share: float = DEFAULT_MAX_REMOVAL_SHARE
    runner: str = "local"
    ray_address: str | None = None
    ray_folder: str | None = None

    def __post_init__(self) -> None:
        checks = {
            "threshold": (0.0 < self.threshold <= 1.0, "above 0 and at most 1"),
            "shingle": (1 <= self.shingle_size <= 32, "between 1 and 32"),
            "num-perm": (2 <= self.num_perm <= 1024, "between 2 and 1024"),
            "seed": (0 <= self.seed < 1 << 32, "between 0 and 4294967295"),
            "workers": (0 <= self.workers <= 1024, "between 0 (all processors) and 1024"),
        }
        for name, (is_good, wanted) in checks.items():
            if not is_good:
                raise UsageError(f"--{name} must be {wanted}.")
        check_read_tiers(self.read_tiers)
        if self.runner not in RUNNERS:
            raise UsageError(f"--runner: {self.runner!r} is none of {', '.join(RUNNERS)}.")

    @property
    def worker_count(self) -> int:
        """Threads that read."""
        return self.workers or available_processors()

    @property
    def read_options(self) -> ReadOptions:
        """How documents are taken from shards."""
        from greendata.shards.base import ReadOptions

        return ReadOptions(
            text_column=self.text_column,
            whole_rows=self.whole_rows,
            lines=self.lines,
            format=self.format,
            max_record_bytes=self.max_record_bytes,
        )


def fingerprint_parameters(request: ScanRequest, base: Snapshot) -> FingerprintParameters:
    """The parameters of this scan; the bands are those that the catalog was begun with.

    Raises:
        UsageError: they do not fit the fingerprints that the catalog holds.
    """
    from greendata.dedup.fingerprint import DIGEST_ALGORITHM, SIGNATURE_SCHEME
    from greendata.dedup.lsh import choose_banding
    from greendata.dedup.tokens import TOKENIZER

    last = None if request.starts_over else base.last
    index_threshold = last.parameters["index_threshold"] if last else request.threshold
    banding = choose_banding(index_threshold, request.num_perm)
    wanted = FingerprintParameters(
        threshold=request.threshold,
        index_threshold=index_threshold,
        shingle_size=request.shingle_size,
        num_perm=request.num_perm,
        seed=request.seed,
        bands=banding.bands,
        rows_per_band=banding.rows,
        tokenizer=TOKENIZER,
        signature_scheme=SIGNATURE_SCHEME,
        digest_algorithm=DIGEST_ALGORITHM,
    )
    if last is not None:
        _check_fit(wanted, last.parameters)
    return wanted


def _check_fit(wanted: FingerprintParameters, held: dict[str, Any]) -> None:
    different = {
        name: (held.get(name), value)
        for name, value in wanted.as_dict().items()
        if name != "threshold" and held.get(name) != value
    }
    if wanted.threshold < wanted.index_threshold:
        different["threshold"] = (wanted.index_threshold, wanted.threshold)
    if different:
        told = ", ".join(f"{name} {old}, not {new}" for name, (old, new) in different.items())
        raise UsageError(
            f"The catalog was made with {told}.",
            hint="Use these, name another catalog with --catalog, or start over with --rebuild.",
        )
