"""The report as data: what HTML, Markdown and JSON are made from.

Bytes are int, money USD, carbon kgCO2e, times aware UTC. Amounts "a month" are what keeping things
as they are costs for a month. Lists are cut to the largest entries; what is left out stands in one
more entry, so that every list adds up to its total.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from greendata.footprint.estimate import Footprint
from greendata.footprint.ranges import Range
from greendata.model import SCHEMA_VERSION

if TYPE_CHECKING:
    from greendata.plan.document import PlanDocument

Dimension = Literal["dataset", "tier", "region", "format", "state"]

STATES = ("current", "earlier versions", "delete markers", "incomplete uploads")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredGroup:
    """Objects that have one thing in common, and what keeping them for a month comes to.

    Attributes:
        name: None where it is not known.
        groups: how many are summed here; 1 but for the entry of all that are left out of a list.
        unsized_objects: those whose size nobody knows (incomplete uploads), not in the footprint.
        redundant_bytes: stored bytes of documents that are redundant, by their share of the text.
    """

    name: str | None
    footprint: Footprint
    groups: int = 1
    unsized_objects: int = 0
    redundant_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """All that is stored, by one dimension, the largest groups first; ``others`` sums the rest."""

    by: Dimension
    groups: tuple[StoredGroup, ...]
    others: StoredGroup | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Intensity:
    """Software Carbon Intensity of a dataset kept for a month, or why there is none."""

    dataset: str | None
    unit: str
    gco2e: Range | None
    detail: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSection:
    """What is stored; ``tiers`` are bytes by dataset and tier of the datasets shown."""

    total: StoredGroup
    breakdowns: tuple[Breakdown, ...]
    tiers: tuple[tuple[str | None, Mapping[str, int]], ...]
    intensities: tuple[Intensity, ...]
    identical_objects: int
    identical_bytes: int
    redundant_footprint: Footprint


@dataclass(frozen=True, slots=True, kw_only=True)
class RedundantDataset:
    """Redundant documents of a dataset, by where the kept ones are."""

    name: str
    objects: int
    documents: int
    text_bytes: int
    exact_documents: int
    near_documents: int
    redundant_text_bytes: int
    within_documents: int
    across_documents: int
    groups: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlapCell:
    """``share`` of the documents of dataset ``a`` that are in dataset ``b``, in 0..1."""

    a: str
    b: str
    share: float
    exact_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateGroup:
    """One kept document and what is redundant because of it; ``text_start`` if asked for."""

    kept_uri: str
    kept_row: int
    kept_dataset: str
    redundant_documents: int
    redundant_text_bytes: int
    lowest_jaccard: float | None
    text_start: str | None = None
    text_problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RedundantSection:
    """What scans found that is in force; all zero where nothing was scanned."""

    is_scanned: bool
    total: RedundantDataset
    datasets: tuple[RedundantDataset, ...]
    others: RedundantDataset | None
    overlap_datasets: tuple[str, ...]
    overlaps: tuple[OverlapCell, ...]
    total_overlaps: int
    groups: tuple[DuplicateGroup, ...]
    total_groups: int
    unverified_candidates: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanPoint:
    """One committed scan, of the objects it was asked for."""

    scan_id: str
    committed_at: datetime
    uris: tuple[str, ...]
    objects: int
    object_bytes: int
    documents: int
    text_bytes: int
    redundant_documents: int
    redundant_text_bytes: int
    seconds: float
    cpu_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshPoint:
    """One refresh of the inventory."""

    taken_at: datetime
    as_of: datetime
    kind: str
    source: str
    covers: tuple[str, ...]
    objects: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendSection:
    """Scans and refreshes since ``since``, oldest first; the newest where there are too many."""

    scans: tuple[ScanPoint, ...]
    total_scans: int
    refreshes: tuple[RefreshPoint, ...]
    total_refreshes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Savings:
    """What some actions came to.

    ``realised`` ones have taken effect: of what is removed only from its purge on. ``waiting`` are
    done and wait for their purge, or are pending. Savings are USD a month and negative where
    keeping things costs more since; ``saved_usd`` is what realised ones have saved up to now, and
    ``planned_usd`` what all of them would save if every one had been done.
    """

    actions: int = 0
    realised_actions: int = 0
    realised_bytes: int = 0
    realised_usd: Decimal = Decimal(0)
    realised_kgco2e: Range | None = None
    saved_usd: Decimal = Decimal(0)
    saved_kgco2e: Range | None = None
    waiting_actions: int = 0
    waiting_bytes: int = 0
    waiting_usd: Decimal = Decimal(0)
    planned_usd: Decimal = Decimal(0)
    fees_usd: Decimal = Decimal(0)
    unknown_savings: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One run, and what its newest outcomes say; ``own`` is what it used itself, as it metered."""

    run_id: str
    plan_id: str
    attempt: int
    state: str
    started_at: datetime | None
    finished_at: datetime | None
    owner: str | None
    actions: int
    done: int
    pending: int
    skipped: int
    failed: int
    own: Mapping[str, Any]
    reasons: Mapping[str, int]
    savings: Savings


@dataclass(frozen=True, slots=True, kw_only=True)
class KindRow:
    """Actions of one kind."""

    kind: str
    savings: Savings


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedPoint:
    """What was saved up to a moment; ``planned_usd`` if all plans had held from their runs on."""

    moment: datetime
    saved_usd: float
    planned_usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DoneSection:
    """Runs since ``since``, newest first; ``total`` is of all of them, shown or not."""

    runs: tuple[RunRow, ...]
    total_runs: int
    total: Savings
    kinds: tuple[KindRow, ...]
    own_kgco2e: Range | None = None
    own_kwh: Range | None = None
    own_usd: Decimal | None = None
    curve: tuple[SavedPoint, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Coefficient:
    """A number of the model that these figures hang on."""

    name: str
    low: Decimal
    central: Decimal
    high: Decimal
    unit: str
    grade: str
    source: str

    @property
    def swing(self) -> Decimal:
        """How much larger a figure may be at its high bound than at its low one."""
        return self.high / self.low if self.low else Decimal("Infinity")


@dataclass(frozen=True, slots=True, kw_only=True)
class BasisSection:
    """What the figures assume, and where they come from."""

    assumptions: tuple[str, ...]
    coefficients: tuple[Coefficient, ...]
    sources: tuple[str, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All of it.

    Attributes:
        made_at: when it was asked for.
        inventory_as_of: how old what it says about objects may be.
        since: runs, scans and refreshes before are left out; None leaves out none.
        plan: the plan that is open, if one was named.
    """

    made_at: datetime
    catalog: str
    program_version: str
    model_version: str
    inventory_as_of: datetime
    since: datetime | None
    stored: StoredSection
    redundant: RedundantSection
    done: DoneSection
    trend: TrendSection
    plan: PlanDocument | None
    basis: BasisSection
    warnings: tuple[str, ...]
    schema_version: int = SCHEMA_VERSION

    def as_dict(self) -> dict[str, Any]:
        """The JSON document of ``report --format json``."""
        found = asdict(self)
        if self.plan is not None:
            found["plan"] = self.plan.model_dump(mode="json", exclude={"policy_texts"})
        return found
