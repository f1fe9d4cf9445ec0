"""Policy files: read, checked as a whole, every mistake with its file, line and column."""

from __future__ import annotations

import hashlib
import inspect
import json
import typing
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from greendata.config import did_you_mean
from greendata.errors import PolicyError, UsageError
from greendata.policy.carbon import contradictions, window_of
from greendata.policy.columns import VERSION_COLUMNS
from greendata.policy.expression import Condition, parse_condition
from greendata.policy.lexer import ExpressionError
from greendata.policy.text import Path, YamlFile, located, read_yaml
from greendata.policy.tiers import ARCHIVES, RESTORE_HOURS, STORES, TIERS_OF
from greendata.units import parse_bytes

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

    from greendata.operating.records import CarbonSettings
    from greendata.policy.model import Policy

STATES_OF = {
    "tier": ("current", "noncurrent"),
    "recompress": ("current",),
    "quarantine": ("current",),
    "relocate": ("current",),
    "expire": ("current", "noncurrent", "expired-delete-marker"),
    "abort_uploads": ("upload",),
    "restore": ("current", "noncurrent"),
    "tag": ("current", "noncurrent"),
    "hold": ("current", "noncurrent"),
    "protect": ("all", "current", "noncurrent", "upload"),
}
"""What each action can be done to; the first is meant where a scope does not say."""

_ELSEWHERE = ("command", "exec", "run", "shell", "script", "endpoint", "url", "webhook", "notify",
              "smtp", "signal", "callback", "credentials", "profile")  # fmt: skip
MOST_MISTAKES = 100
LARGEST_SET = 250
"""Policies that are decided together; verdicts are packed with one byte for the policy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedPolicy:
    """A policy with its checked condition and its place in a file."""

    model: Policy
    condition: Condition | None
    file: YamlFile
    path: Path
    max_bytes: int | None = None

    @property
    def name(self) -> str:
        """Its name, one in a set."""
        return self.model.name

    @property
    def kind(self) -> str:
        """The key of its action, such as ``tier``."""
        return self.model.action.kind

    @property
    def value(self) -> Any:
        """What stands under that key."""
        return getattr(self.model.action, self.kind)

    @property
    def state(self) -> str:
        """Which rows of the inventory it is about."""
        scope = self.model.scope
        return (scope.state if scope else None) or STATES_OF[self.kind][0]

    @property
    def action(self) -> dict[str, Any]:
        """The action as the file has it, numbers of days filled in."""
        is_protection = self.kind == "protect"
        return self.model.action.model_dump(exclude_none=True, exclude_defaults=is_protection)

    def complaint(self, *path: int | str, message: str) -> str:
        """A message with the place of a part of this policy."""
        return self.file.complaint((*self.path, *path), message)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySet:
    """Policies decided together, by priority and name: the order of files does not matter.

    ``window`` is what they say of when to run; it changes no decision.
    """

    policies: tuple[LoadedPolicy, ...]
    window: CarbonSettings | None = None

    @property
    def digest(self) -> str:
        """SHA-256 over what the policies mean; comments, layout and file names do not count."""
        meant = [entry.model.model_dump(mode="json") for entry in self.policies]
        text = json.dumps(meant, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


def read_policies(files: Iterable[tuple[str, bytes]]) -> PolicySet:
    """The policies of these files (name, content).

    Raises:
        PolicyError: a mistake in any of them; all are listed.
    """
    found: list[LoadedPolicy] = []
    windows: dict[str, CarbonSettings] = {}
    mistakes: list[PolicyError] = []
    for name, raw in files:
        try:
            found += _read_file(raw, name, windows)
        except PolicyError as error:
            mistakes.append(error)
    mistakes += _repeated(found)
    mistakes += contradictions(windows)
    if mistakes:
        hint = next((error.hint for error in mistakes if error.hint), None)
        raise PolicyError("\n".join(error.message for error in mistakes), hint=hint)
    if len(found) > LARGEST_SET:
        raise PolicyError(f"{len(found)} policies: at most {LARGEST_SET} are decided together")
    return PolicySet(
        policies=tuple(sorted(found, key=lambda entry: (-entry.model.priority, entry.name))),
        window=next(iter(windows.values()), None),
    )


def validated(model: type[BaseModel], file: YamlFile) -> Any:
    """The file's data as this model.

    Raises:
        PolicyError: it does not fit; a line a mistake.
    """
    from pydantic import ValidationError

    if not isinstance(file.data, dict):
        raise PolicyError(
            located(file.name, (1, 1), "expected keys and values, such as 'version: 1'")
        )
    try:
        # in JSON mode a strict model takes a list for a tuple
        return model.model_validate_json(json.dumps(file.data))
    except ValidationError as error:
        lines = [line for _, line in sorted(set(_mistakes(model, file, error)))]
        more = len(lines) - MOST_MISTAKES
        if more > 0:
            lines = [*lines[:MOST_MISTAKES], f"{file.name}: and {more} more mistakes"]
        raise PolicyError("\n".join(lines)) from error


def _read_file(raw: bytes, name: str, windows: dict[str, CarbonSettings]) -> list[LoadedPolicy]:
    from greendata.policy.model import Document

    file = read_yaml(raw, name)
    document = validated(Document, file)
    if document.carbon is not None:
        windows[name] = window_of(document.carbon, file)
    found, complaints = [], []
    hint: str | None = None
    for index, model in enumerate(document.policies):
        path: Path = ("policies", index)
        condition = None
        if model.where is not None:
            try:
                condition = parse_condition(model.where)
            except ExpressionError as error:
                place = file.place_in_text((*path, "where"), error.offset)
                complaints.append(located(name, place, f"where: {error.message}"))
                hint = hint or error.hint
        policy = LoadedPolicy(model=model, condition=condition, file=file, path=path)
        complaints += _senseless(policy)
        found.append(policy)
    if complaints:
        raise PolicyError("\n".join(complaints), hint=hint)
    return [_with_bytes(policy) for policy in found]


def _with_bytes(policy: LoadedPolicy) -> LoadedPolicy:
    import dataclasses

    text = policy.model.guard.max_bytes
    if text is None:
        return policy
    try:
        return dataclasses.replace(policy, max_bytes=parse_bytes(text))
    except UsageError as error:
        raise PolicyError(
            policy.complaint("guard", "max_bytes", message=error.message), hint=error.hint
        ) from error


def _repeated(found: Sequence[LoadedPolicy]) -> Iterator[PolicyError]:
    first: dict[str, LoadedPolicy] = {}
    for entry in found:
        other = first.setdefault(entry.name, entry)
        if other is not entry:
            line, _ = other.file.place((*other.path, "name"))
            message = f"policy {entry.name!r} is also in {other.file.name}, line {line}"
            yield PolicyError(entry.complaint("name", message=message))


def _senseless(policy: LoadedPolicy) -> Iterator[str]:
    """What fits the models and still cannot be meant."""
    model, scope = policy.model, policy.model.scope
    narrows = bool(scope and (scope.datasets or scope.prefixes)) or model.where is not None
    if not narrows and not model.all:
        yield policy.complaint(
            message="neither scope nor where: write `all: true` if every object is meant"
        )
    if narrows and model.all:
        yield policy.complaint("all", message="`all: true` beside a scope or condition")
    states = STATES_OF[policy.kind]
    if policy.state not in states:
        yield policy.complaint(
            "scope", "state",
            message=f"{policy.kind} is for {' or '.join(states)} objects, not {policy.state}",
        )  # fmt: skip
    named = policy.condition.columns if policy.condition else frozenset[str]()
    for column in sorted(named & VERSION_COLUMNS.keys()):
        if policy.state != "noncurrent":
            yield policy.complaint(
                "where",
                message=f"{column} is known of earlier versions only: say scope.state noncurrent",
            )
    yield from _bad_places(policy)
    yield from _bad_tier(policy)
    if policy.kind == "protect":
        yield from _bad_protection(policy)


def _bad_protection(policy: LoadedPolicy) -> Iterator[str]:
    if policy.model.guard.model_fields_set:
        yield policy.complaint("guard", message="protect acts on nothing: it has no guard")
    if "unknown_access" in policy.model.model_fields_set:
        yield policy.complaint(
            "unknown_access", message="protect holds for what is unknown: leave this out"
        )


def _bad_places(policy: LoadedPolicy) -> Iterator[str]:
    scope = policy.model.scope
    for index, prefix in enumerate(scope.prefixes if scope else ()):
        scheme, mark, rest = prefix.partition("://")
        if mark and (scheme not in STORES or not rest.strip("/")):
            yield policy.complaint(
                "scope", "prefixes", index,
                message=f"{prefix} names no folder of an s3://, az:// or file:// store",
            )  # fmt: skip
        elif "*" in prefix:
            yield policy.complaint(
                "scope", "prefixes", index,
                message=f"{prefix}: a prefix is no glob; write where: glob(uri, '…') for one",
            )  # fmt: skip


def _bad_tier(policy: LoadedPolicy) -> Iterator[str]:
    """Tiers that a store in the scope does not have, and guards that never let one through."""
    if policy.kind != "tier":
        return
    tier, scope, guard = policy.value, policy.model.scope, policy.model.guard
    for index, prefix in enumerate(scope.prefixes if scope else ()):
        store = prefix.partition("://")[0] if "://" in prefix else "file"
        if store in STORES and tier not in TIERS_OF[store]:
            yield policy.complaint(
                "scope", "prefixes", index,
                message=f"{store} has no tier {tier!r}; it has {', '.join(TIERS_OF[store])}",
            )  # fmt: skip
    hours = [RESTORE_HOURS.get((store, tier), 0) for store in STORES if tier in TIERS_OF[store]]
    limit = guard.max_restore_hours
    if limit is not None and min(hours) > limit:
        yield policy.complaint(
            "guard", "max_restore_hours",
            message=f"{tier} takes {min(hours)} hours or more to open: this never acts",
        )  # fmt: skip
    if guard.readers == "online" and tier in ARCHIVES:
        yield policy.complaint(
            "guard", "readers", message=f"{tier} cannot be read online: this never acts"
        )


def _mistakes(
    model: type[BaseModel], file: YamlFile, error: ValidationError
) -> Iterator[tuple[tuple[int, int], str]]:
    for detail in error.errors(include_url=False, include_input=False):
        location = detail["loc"]
        if detail["type"] == "too_short" and file.holds(location):
            continue  # its items are wrong, and each is told of
        if detail["type"] == "extra_forbidden":
            what = _unknown_key(model, location)
        else:
            what = detail["msg"].removeprefix("Value error, ")
            dotted = ".".join(str(part) for part in location if isinstance(part, str))
            what = f"{dotted}: {what}" if dotted else what
        yield file.place(location), file.complaint(location, what)


def _unknown_key(model: type[BaseModel], location: Sequence[int | str]) -> str:
    key = str(location[-1])
    if key.lower() in _ELSEWHERE:
        return f"{key!r} has no place in a policy: such things stand only in greendata.yaml"
    holder = _model_at(model, location[:-1])
    known = list(holder.model_fields) if holder else []
    listed = f" It has {', '.join(known)}." if known else ""
    return f"unknown key {key!r}.{did_you_mean(key, known) or listed}"


def _model_at(model: type[BaseModel], location: Sequence[int | str]) -> type[BaseModel] | None:
    """The model of what stands at ``location``."""
    current: type[BaseModel] | None = model
    for part in location:
        if current is None:
            return None
        if isinstance(part, str) and part in current.model_fields:
            current = next(iter(_models_in(current.model_fields[part].annotation)), None)
    return current


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    from pydantic import BaseModel

    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation
        return
    for part in typing.get_args(annotation):
        yield from _models_in(part)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of policy files, for editors."""
    from greendata.policy.model import Document

    schema = Document.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema
