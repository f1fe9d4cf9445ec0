"""``plan.json``: what a plan was made of and what it comes to; its id is a digest of all that.

Read by ``show``, by applying it, and by other programs. Imported lazily: pydantic costs start-up.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from greendata.errors import PlanError

PLAN_VERSION: Literal[2] = 2
PLAN_NAME = "plan.json"
ACTIONS_NAME = "actions.parquet"
DECISIONS_NAME = "decisions.parquet"


class Strict(BaseModel):
    """Unknown keys are errors: a plan of a newer program is not read by halves."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Bounds(Strict):
    """A quantity saved a month; below zero where it is added."""

    low: float
    central: float
    high: float


class Totals(Strict):
    """Actions of one policy, or of all.

    ``unknown_savings`` are actions whose saving hangs on what nobody knows; they count as zero.
    Payback is of all of them together.
    """

    actions: int = 0
    objects: int = 0
    size_bytes: int = 0
    fees_usd: Decimal = Decimal(0)
    monthly_saving_usd: Decimal = Decimal(0)
    payback_days: int | None = None
    unknown_savings: int = 0
    energy_kwh: Bounds | None = None
    carbon_kgco2e: Bounds | None = None
    reversible: int = 0
    costly: int = 0
    irreversible: int = 0
    irreversible_bytes: int = 0
    checked_at_apply: int = 0


class ClassChange(Strict):
    """Objects that a policy takes from one storage class to another; ``restore_hours`` is how long
    one takes to open then, at most: None where it can be read at once."""

    from_class: str | None
    to_class: str
    objects: int
    size_bytes: int
    restore_hours: int | None = None


class PolicyTotals(Strict):
    """``priority`` and ``description`` as the file has them; ``withheld`` names a broken guard.

    ``takes_modified``: where reads are unknown, it goes by when an object was written.
    """

    policy: str
    action: dict[str, Any]
    priority: int
    description: str | None = None
    withheld: str | None = None
    classes: tuple[ClassChange, ...] = ()
    takes_modified: bool = False
    totals: Totals


class PrefixTotals(Strict):
    """Actions below one folder, by policy."""

    prefix: str
    policy: str
    totals: Totals


class Stays(Strict):
    """Objects that stay for one reason; ``is_refused``: a policy wanted to act on them."""

    policy: str
    reason: str
    because: str
    is_refused: bool
    objects: int
    size_bytes: int
    example_uri: str


class PolicyText(Strict):
    """A policy file as it was."""

    name: str
    text: str


class Refresh(Strict):
    """A refresh of the inventory that the plan rests on."""

    scan_id: str
    source: str
    as_of: datetime


class Exceeded(Strict):
    """A limit of greendata.yaml that the plan is beyond: applying it is refused."""

    limit: str
    words: str


class Limits(Strict):
    """What one plan may change at most."""

    max_objects: int
    max_bytes: int
    max_percent: float
    exceeded: tuple[Exceeded, ...] = ()


class Several(Strict):
    """Quarantines of objects whose rows stand only in several others together, ``most`` of one."""

    actions: int
    most: int


class PlanFile(Strict):
    """A table beside the document."""

    name: str
    rows: int
    sha256: str


class PlanDocument(Strict):
    """The whole of ``plan.json``."""

    schema_version: Literal[2] = PLAN_VERSION
    plan_id: str = ""
    program_version: str
    model_version: str
    as_of: datetime
    policy_digest: str
    policies: tuple[PolicyTotals, ...]
    policy_texts: tuple[PolicyText, ...]
    inventory: tuple[Refresh, ...]
    inventory_as_of: datetime
    scope_objects: int
    totals: Totals
    prefixes: tuple[PrefixTotals, ...]
    stays: tuple[Stays, ...]
    limits: Limits
    several: Several | None = None
    assumptions: tuple[str, ...] = ()
    files: tuple[PlanFile, ...] = Field(default=())

    def file(self, name: str) -> PlanFile:
        """One of the tables.

        Raises:
            PlanError: the document names none of that name.
        """
        found = next((entry for entry in self.files if entry.name == name), None)
        if found is None:
            raise PlanError(f"{PLAN_NAME}: names no {name}", hint="Plan again.")
        return found


def sealed(document: PlanDocument) -> PlanDocument:
    """The document with its id: SHA-256 of its canonical content."""
    return document.model_copy(update={"plan_id": _digest(document)})


def written(document: PlanDocument) -> bytes:
    """The file's bytes: the same for the same plan."""
    text = json.dumps(document.model_dump(mode="json"), indent=2, ensure_ascii=False)
    return (text + "\n").encode()


def read_document(raw: bytes, place: str) -> PlanDocument:
    """A plan that was written.

    Raises:
        PlanError: it is none, is of another version, or was changed.
    """
    try:
        data: Any = json.loads(raw)
        version = data.get("schema_version") if isinstance(data, Mapping) else None
        if version != PLAN_VERSION:
            raise PlanError(
                f"{place}: is no plan of version {PLAN_VERSION}, but of {version!r}"
                if isinstance(version, int)
                else f"{place}: is no plan",
                hint="Make one with this program: greendata plan POLICY… -o DIR",
            )
        document = PlanDocument.model_validate(data)
    except (ValueError, ValidationError, RecursionError) as error:
        if isinstance(error, PlanError):
            raise
        raise PlanError(f"{place}: is not a plan, or not all of one", hint="Plan again.") from error
    if document.plan_id != _digest(document):
        raise PlanError(f"{place}: was changed after it was made", hint="Plan again.")
    return document


def _digest(document: PlanDocument) -> str:
    content = document.model_dump(mode="json", exclude={"plan_id"})
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
