"""What is carried out and what came of it, as the journal and the catalog hold them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """How an action ended, or that it goes on later."""

    DONE = "done"
    PENDING = "pending"
    SKIPPED = "skipped"
    FAILED = "failed"


REASONS = {
    "changed": "the object is not the one that was planned",
    "gone": "the object is not there any more",
    "held": "a hold, a retention time or a lease forbids it",
    "encrypted": "only its owner has the key that reads it",
    "archived": "it must be restored first",
    "conflict": "another object has the name it would get",
    "denied": "the store refuses it to these credentials",
    "pinned": "another run removed copies in favour of it",
    "no-survivor": "a copy that was to stay is not there as it was planned",
    "no-saving": "written again it would not be smaller by enough",
    "renamed": "it would get another name, which nothing tells its readers",
    "refused": "what is in it cannot be written again exactly",
    "snapshots": "the blob has snapshots, which belong to somebody",
    "unsupported": "the store cannot do it",
    "damaged": "what was stored is not what was read; nothing was switched",
    "unreachable": "the store did not answer",
    "group": "another object of its group could not go along",
    "irreversible": "nothing takes it back",
    "undone": "it was to be taken back, and was not",
    "early": "its grace time is not over",
    "journal": "the journal of its run is damaged in part",
    "policy": "nobody shows that the policy which let it expire still stands",
    "unattended": "it cannot be undone, and its policy does not allow it without anybody there",
    "earlier": "an earlier action on the same object did not succeed",
    "waiting": "it goes on when it is due",
}
"""Why an action is not done, by the word that tables and JSON carry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Survivor:
    """What stays; ``basis`` says what proves that it, or all of several, stands for an object:
    ``sha256:HEX`` of all its bytes, or how many different rows the object has."""

    uri: str
    store_id: str
    etag: str
    version_id: str | None = None
    basis: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One action of a plan, or of an undo.

    Attributes:
        action_id: as the plan has it; the same in every attempt.
        group_id: actions of one group switch together or not at all.
        source, to: storage class, tier and region now; the parameters of the kind.
        survivors: what stands for the object, all of them together.
    """

    action_id: str
    group_id: str
    kind: str
    uri: str
    store_id: str
    etag: str | None
    size_bytes: int | None
    version_id: str | None = None
    source: Mapping[str, Any] = field(default_factory=dict)
    to: Mapping[str, Any] = field(default_factory=dict)
    policy: str = ""
    reason: str = ""
    survivors: tuple[Survivor, ...] = ()
    reversibility: str = "reversible"
    fees_usd: Decimal | None = None
    monthly_saving_usd: Decimal | None = None
    carbon_kgco2e: tuple[float, float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of an action.

    Attributes:
        reason: a word of ``REASONS`` unless it is done.
        after: what undoing, purging and auditing need to know of what was left in the store. Where
            something waits there to be purged, it is under the key ``quarantine``, as
            ``quarantine.Quarantined.as_dict`` gives it.
        due_at: of one that is pending: when it can go on.
        moved_bytes: read from stores or written to them by this machine.
    """

    status: Status
    reason: str = ""
    detail: str = ""
    after: Mapping[str, Any] = field(default_factory=dict)
    due_at: datetime | None = None
    moved_bytes: int = 0

    @property
    def is_final(self) -> bool:
        """Whether a later attempt in the same run would not try it again."""
        return self.status in (Status.DONE, Status.SKIPPED)


def done(**after: Any) -> Outcome:
    """It is done; ``after`` is what it left."""
    return Outcome(status=Status.DONE, after=after)


def skipped(reason: str, detail: str = "") -> Outcome:
    """It was left alone, for a reason of ``REASONS``."""
    return Outcome(status=Status.SKIPPED, reason=reason, detail=detail)


def failed(reason: str, detail: str) -> Outcome:
    """It did not succeed and may when tried again."""
    return Outcome(status=Status.FAILED, reason=reason, detail=detail)


def step_id(run_id: str, action_id: str) -> str:
    """32 hexadecimal digits that name one action of one attempt in stores: keys, staging, pins."""
    return hashlib.sha256(f"{run_id}\n{action_id}".encode()).hexdigest()[:32]


def run_id(plan_id: str, attempt: int) -> str:
    """The name of a run: the same plan and attempt always have the same."""
    return f"{plan_id[:16]}-{attempt}"
