"""What a run came to: counts, reasons and sums over the newest outcome of each action."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from greendata.execute.records import Status
from greendata.model import SCHEMA_VERSION

if TYPE_CHECKING:
    from greendata.execute.engine import Ended
    from greendata.execute.records import Action, Outcome
    from greendata.jobs.metering import OwnFootprint

_EXAMPLES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """What a run came to.

    Attributes:
        state: ``finished``, ``partial`` (some objects were left alone, or failed), ``pending``
            (all else is done, some go on later) or ``stopped``.
        reasons: how many actions were not done, by the words of ``REASONS``.
        examples: for each reason some of them, as ``uri`` and ``detail``.
        carbon_kgco2e: saved a month by what is done: low, central, high; None if not known of all.
        own: what the run itself took.
        purge_after: when the first of what waits in quarantine may be purged.
    """

    run_id: str
    plan_id: str
    attempt: int
    state: str
    actions: int
    done: int
    pending: int
    skipped: int
    failed: int
    not_begun: int
    size_bytes: int
    moved_bytes: int
    fees_usd: Decimal
    monthly_saving_usd: Decimal
    reasons: Mapping[str, int]
    examples: Mapping[str, Sequence[Mapping[str, str]]]
    stopped_because: str | None
    is_interrupted: bool
    next_due_at: datetime | None
    purge_after: datetime | None
    seconds: float
    carbon_kgco2e: tuple[float, float, float] | None = None
    own: OwnFootprint | None = None
    schema_version: int = field(default=SCHEMA_VERSION)

    def as_dict(self) -> dict[str, Any]:
        """The JSON document of ``apply --json``."""
        return {**asdict(self), "own": None if self.own is None else self.own.as_dict()}


class Tally:
    """Sums over the newest outcome of each action."""

    def __init__(self, run_id: str, plan_id: str, attempt: int) -> None:
        self._run_id, self._plan_id, self._attempt = run_id, plan_id, attempt
        self._started_at = datetime.now(UTC)
        self.own: OwnFootprint | None = None
        self._outcomes: dict[str, tuple[Action, Outcome | None]] = {}

    def add(self, action: Action, outcome: Outcome | None) -> None:
        """An action, and what is known to have come of it."""
        self._outcomes[action.action_id] = (action, outcome)

    def summary(self, ended: Ended) -> RunSummary:
        """Of all actions of the plan."""
        statuses: Counter[Status | None] = Counter()
        reasons: Counter[str] = Counter()
        examples: dict[str, list[dict[str, str]]] = {}
        fees = saving = Decimal(0)
        size_bytes = 0
        carbon: list[tuple[float, float, float] | None] = []
        due: list[datetime] = []
        purges: list[datetime] = []
        for action, outcome in self._outcomes.values():
            statuses[outcome.status if outcome else None] += 1
            if outcome is None:
                continue
            if outcome.reason:
                reasons[outcome.reason] += 1
                shown = examples.setdefault(outcome.reason, [])
                if len(shown) < _EXAMPLES:
                    shown.append({"uri": action.uri, "detail": outcome.detail})
            if outcome.status is Status.DONE:
                fees += action.fees_usd or 0
                saving += action.monthly_saving_usd or 0
                size_bytes += action.size_bytes or 0
                carbon.append(action.carbon_kgco2e)
            if outcome.status is Status.PENDING and outcome.due_at is not None:
                due.append(outcome.due_at)
            if "quarantine" in outcome.after:
                purges.append(datetime.fromisoformat(outcome.after["quarantine"]["purge_after"]))
        return RunSummary(
            run_id=self._run_id,
            plan_id=self._plan_id,
            attempt=self._attempt,
            state=_state(statuses, ended),
            actions=sum(statuses.values()),
            done=statuses[Status.DONE],
            pending=statuses[Status.PENDING],
            skipped=statuses[Status.SKIPPED],
            failed=statuses[Status.FAILED],
            not_begun=statuses[None],
            size_bytes=size_bytes,
            moved_bytes=ended.moved_bytes,
            fees_usd=fees,
            monthly_saving_usd=saving,
            reasons=dict(sorted(reasons.items())),
            examples=examples,
            stopped_because=ended.stopped_because,
            is_interrupted=ended.is_interrupted,
            next_due_at=min(due, default=None),
            purge_after=min(purges, default=None),
            carbon_kgco2e=_carbon(carbon),
            own=self.own,
            seconds=round((datetime.now(UTC) - self._started_at).total_seconds(), 3),
        )


def _carbon(
    found: Sequence[tuple[float, float, float] | None],
) -> tuple[float, float, float] | None:
    known = [bounds for bounds in found if bounds is not None]
    if len(known) < len(found):
        return None
    low, central, high = (sum(bounds[place] for bounds in known) for place in range(3))
    return (low, central, high)


def _state(statuses: Mapping[Status | None, int], ended: Ended) -> str:
    if ended.stopped_because is not None or statuses.get(None):
        return "stopped"
    if statuses.get(Status.FAILED) or statuses.get(Status.SKIPPED):
        return "partial"
    return "pending" if statuses.get(Status.PENDING) else "finished"
