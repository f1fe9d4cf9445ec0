"""What a policy file may say, as pydantic models: strict, and the source of the JSON Schema.

Imported lazily: pydantic costs start-up.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$")]
Text = Annotated[str, Field(min_length=1, max_length=2000)]
Days = Annotated[int, Field(ge=0, le=36_500)]
PositiveDays = Annotated[int, Field(ge=1, le=36_500)]
Usd = Annotated[Decimal, Field(ge=0, le=10**12)]
Tier = Literal["hot", "intelligent", "cool", "cold", "archive", "deep_archive"]
State = Literal["current", "noncurrent", "expired-delete-marker", "upload", "all"]
Kind = Literal[
    "tier", "recompress", "quarantine", "relocate", "expire", "abort_uploads", "restore", "tag",
    "hold", "protect",
]  # fmt: skip
Forbidden = Literal["tier", "recompress", "quarantine", "relocate", "expire", "abort_uploads"]


class Strict(BaseModel):
    """Unknown keys are errors, and no value is taken for another kind."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Scope(Strict):
    """Which objects a policy is about at all."""

    datasets: tuple[Text, ...] = Field(default=(), description="Names of datasets; any of them.")
    prefixes: tuple[Text, ...] = Field(
        default=(), description="URIs of folders or objects, or paths; any of them."
    )
    exclude: tuple[Text, ...] = Field(
        default=(),
        description="Globs of keys (or of whole URIs, with ://) that are left alone. "
        "* and ? stay in a folder, ** does not.",
    )
    state: State | None = Field(
        default=None,
        description="Current objects unless said otherwise; uploads for abort_uploads; for "
        "protect all.",
    )


class Recompress(Strict):
    """Write the shard again as zstd Parquet."""

    profile: Literal["stream", "archive"] = Field(
        description="stream: hot data that training reads; archive: cold data, similar rows "
        "side by side."
    )
    min_saving: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        default=None,
        description="Share of the stored bytes below which an object stays as it is; 0.15.",
    )
    allow_window: Literal[True] | None = Field(
        default=None,
        description="Objects may get another name (JSON Lines become .parquet) without a manifest "
        "that tells readers; needs `guard: {readers: none}`.",
    )


class Quarantine(Strict):
    """Take redundant data out of sight; it is removed by purge after the grace."""

    grace_days: PositiveDays = 30
    allow: Literal["text_only", "near"] | None = Field(
        default=None,
        description="Without it only what is stored elsewhere as a whole. text_only: every text "
        "is; near: every text has a near-duplicate.",
    )
    min_jaccard: Annotated[float, Field(ge=0.5, le=1)] | None = None

    @model_validator(mode="after")
    def _near_has_a_measure(self) -> Quarantine:
        if (self.allow == "near") != (self.min_jaccard is not None):
            raise ValueError("`allow: near` and `min_jaccard` go together: say both or neither")
        return self


class Relocate(Strict):
    """Move or copy to where it is read."""

    to: Text = Field(description="training_region, or the name of a region.")
    mode: Literal["move", "replicate"]


class Expire(Strict):
    """Quarantine what is no longer wanted, and purge it after the grace."""

    grace_days: PositiveDays = 30


class AbortUploads(Strict):
    """Drop multipart uploads that were never finished."""

    older_than_days: PositiveDays = 7


class Restore(Strict):
    """Make archived objects readable for some days."""

    days: PositiveDays


class Protect(Strict):
    """Forbid actions of other policies; with a condition, unless it holds."""

    actions: tuple[Forbidden, ...] = Field(
        default=(), description="What is forbidden; all that changes or removes when left out."
    )
    retain_days: PositiveDays | None = Field(
        default=None, description="No removal before this age (from modified_at)."
    )
    min_copies: Annotated[int, Field(ge=1, le=100)] | None = Field(
        default=None, description="No removal unless as many verified copies stay."
    )
    max_restore_hours: Annotated[int, Field(ge=0, le=1000)] | None = Field(
        default=None, description="No tier that takes longer to open."
    )
    residency: tuple[Text, ...] = Field(
        default=(), description="No relocation out of these regions or areas (eu, us-east-1)."
    )

    @model_validator(mode="after")
    def _one_way_of_forbidding(self) -> Protect:
        if self.actions and self.has_condition:
            raise ValueError(
                "`actions` forbids always, the other keys unless they hold: use two policies"
            )
        return self

    @property
    def has_condition(self) -> bool:
        """Whether it forbids only what would break one of its limits."""
        limits = (self.retain_days, self.min_copies, self.max_restore_hours)
        return bool(self.residency) or any(limit is not None for limit in limits)


TagName = Annotated[str, Field(min_length=1, max_length=128)]
TagValue = Annotated[str, Field(max_length=256)]


class Action(Strict):
    """Exactly one of these."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        json_schema_extra={"minProperties": 1, "maxProperties": 1},
    )

    tier: Tier | None = None
    recompress: Recompress | None = None
    quarantine: Quarantine | None = None
    relocate: Relocate | None = None
    expire: Expire | None = None
    abort_uploads: AbortUploads | None = None
    restore: Restore | None = None
    tag: Annotated[dict[TagName, TagValue], Field(min_length=1, max_length=10)] | None = None
    hold: Literal["legal"] | None = None
    protect: Protect | None = None

    @model_validator(mode="after")
    def _one(self) -> Action:
        if len(self.model_fields_set) != 1 or getattr(self, self.kind) is None:
            raise ValueError("an action is exactly one of " + ", ".join(type(self).model_fields))
        return self

    @property
    def kind(self) -> str:
        """The one key it has."""
        return next(iter(self.model_fields_set), "tier")


class Guard(Strict):
    """Conditions on acting: those on money and amounts are weighed when a plan is made."""

    max_objects: Annotated[int, Field(ge=1)] | None = None
    max_bytes: Text | None = Field(default=None, description="Such as 10TiB.")
    max_percent: Annotated[float, Field(gt=0, le=100)] | None = Field(
        default=None, description="Of the objects in scope."
    )
    max_one_off_usd: Usd | None = None
    min_saving_usd: Usd | None = Field(default=None, description="A month, of the whole policy.")
    max_payback_days: PositiveDays | None = None
    max_carbon_kgco2e: Annotated[float, Field(ge=0)] | None = None
    readers: Literal["online", "none"] | None = Field(
        default=None,
        description="none: nobody reads these, so that an archive tier may be used; online: they "
        "must stay readable.",
    )
    min_copies: Annotated[int, Field(ge=1, le=100)] | None = Field(
        default=None, description="Removal leaves at least as many verified copies."
    )
    unattended: bool = Field(
        default=False,
        description="Scheduled runs may carry out what cannot be undone.",
    )
    max_restore_hours: Annotated[int, Field(ge=0, le=1000)] | None = Field(
        default=None, description="No tier that takes longer to open."
    )


class Policy(Strict):
    """One rule: which objects, on what condition, and what to do with them."""

    name: Name
    description: Text | None = None
    scope: Scope | None = None
    all: Literal[True] | None = Field(
        default=None, description="Needed when neither a scope nor a condition narrows it."
    )
    unknown_access: Literal["keep", "modified", "error"] = Field(
        default="keep",
        description="When nothing tells of an object's last read: leave it alone, take the time "
        "it was written, or stop.",
    )
    where: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="A condition over the inventory's columns."
    )
    action: Action
    guard: Guard = Guard()
    priority: Annotated[int, Field(ge=-1_000_000, le=1_000_000)] = 0

    @model_validator(mode="after")
    def _nobody_looks(self) -> Policy:
        value = self.action.recompress
        if value is not None and value.allow_window and self.guard.readers != "none":
            raise ValueError("`allow_window` needs `guard: {readers: none}`")
        return self


class Carbon(Strict):
    """When `greendata run` starts with this file; greendata.yaml says whose signal tells."""

    region: Text | None = Field(default=None, description="Where the work runs.")
    max_gco2e_per_kwh: Annotated[float, Field(gt=0, lt=1500)] | None = Field(
        default=None, description="The first window whose average is at most this."
    )
    best: Text | None = Field(
        default=None, description="The cleanest window of this length, such as 4h."
    )
    deadline: Text | None = Field(
        default=None,
        description="At the latest: 24h, a time of day in UTC (06:00), or a moment in ISO 8601.",
    )
    scale_workers: bool = Field(
        default=False, description="Fewer workers while the grid is dirtier."
    )


class Document(Strict):
    """A policy file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, title="greendata policies")

    version: Literal[1]
    carbon: Carbon | None = None
    policies: Annotated[tuple[Policy, ...], Field(min_length=1, max_length=200)]


class GivenObject(BaseModel):
    """An object of a case: columns of the inventory view, as they would be."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    uri: Annotated[str, Field(min_length=1)]


class Expected(Strict):
    """Either decisions, by policy, or why the object stays."""

    decisions: Annotated[dict[str, Action], Field(min_length=1)] | None = None
    stays: Text | None = Field(default=None, description="The reason, such as condition.")
    policy: str | None = Field(default=None, description="The policy that it stays for.")
    because: str | None = Field(default=None, description="The part of `where` that fails.")

    @model_validator(mode="after")
    def _one(self) -> Expected:
        if (self.decisions is None) == (self.stays is None):
            raise ValueError("say either `decisions` or `stays`")
        if self.stays is None and (self.policy or self.because):
            raise ValueError("`policy` and `because` go with `stays`")
        return self


class Case(Strict):
    """Objects and what is to be decided of each, in the same order."""

    name: Text
    given: GivenObject | Annotated[tuple[GivenObject, ...], Field(min_length=1)]
    expect: Expected | Annotated[tuple[Expected, ...], Field(min_length=1)]

    @property
    def objects(self) -> tuple[GivenObject, ...]:
        """One or several."""
        return self.given if isinstance(self.given, tuple) else (self.given,)

    @property
    def expectations(self) -> tuple[Expected, ...]:
        """One or several."""
        return self.expect if isinstance(self.expect, tuple) else (self.expect,)


class DatasetFacts(Strict):
    """What greendata.yaml would say of a dataset."""

    readers: Literal["online", "none"] | None = None
    retention_min_days: Days = 0


class CaseDocument(Strict):
    """A file of cases; it stands beside its policies, as NAME.cases.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, title="greendata cases")

    version: Literal[1]
    datasets: dict[str, DatasetFacts] = Field(default_factory=dict)
    cases: Annotated[tuple[Case, ...], Field(min_length=1, max_length=1000)]
