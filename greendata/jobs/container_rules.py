"""Rules that a bucket has of itself, held against what safe changes leave in it.

Quarantined and staged objects lie below ``.greendata/``; in buckets with versions, what was
replaced or deleted is a noncurrent version. A lifecycle rule of the bucket that removes them within
the grace time takes away what an undo needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from greendata.stores.opening import is_remote
from greendata.stores.records import ContainerRules
from greendata.stores.uris import parse_uri

GRACE_DAYS = 30
"""Days that what was quarantined or replaced stays; the default of policies."""

_OWN_FOLDERS = (".greendata/", "_greendata/")
_MOVING = ("tier", "relocate", "recompress", "quarantine", "expire")
_QUARANTINING = ("relocate", "recompress", "quarantine", "expire")


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleConflict:
    """A rule that would undo the safety of some actions."""

    rule: str
    effect: str
    actions: tuple[str, ...]


def find_conflicts(
    rules: ContainerRules, uri: str, *, grace_days: int = GRACE_DAYS
) -> tuple[RuleConflict, ...]:
    """Conflicts of the rules of the bucket behind ``uri`` with changes of objects below it."""
    if not is_remote(uri):
        return ()
    folder = parse_uri(uri).key
    folder = folder if not folder or folder.endswith("/") else f"{folder}/"
    return tuple(
        conflict
        for rule in rules.lifecycle or ()
        if rule.get("Status") == "Enabled"
        for conflict in _of_rule(rule, folder, rules, grace_days)
    )


def _of_rule(
    rule: Mapping[str, Any], folder: str, rules: ContainerRules, grace_days: int
) -> Iterator[RuleConflict]:
    name, prefix = str(rule.get("ID") or "without a name"), _prefix_of(rule)
    own = [f"{folder}{own_folder}" for own_folder in _OWN_FOLDERS]
    expiration = rule.get("Expiration", {})
    days = expiration.get("Days")
    is_early = days is not None and int(days) < grace_days
    if (is_early or "Date" in expiration) and any(_overlap(prefix, place) for place in own):
        when = f"after {days} days" if days is not None else f"on {expiration['Date']}"
        yield RuleConflict(
            rule=name, effect=f"deletes quarantined objects {when}", actions=_QUARANTINING
        )
    noncurrent = rule.get("NoncurrentVersionExpiration", {}).get("NoncurrentDays")
    has_versions = rules.versioning in ("on", "suspended", None)
    is_early = noncurrent is not None and int(noncurrent) < grace_days
    if is_early and has_versions and _overlap(prefix, folder):
        yield RuleConflict(
            rule=name,
            effect=f"deletes versions {noncurrent} days after they were replaced or deleted",
            actions=_MOVING,
        )


def _prefix_of(rule: Mapping[str, Any]) -> str:
    """The keys a rule is about begin so; tags and sizes only make them fewer."""
    found = rule.get("Filter", {})
    inner = found.get("And", found)
    return str(inner.get("Prefix", rule.get("Prefix", "")) or "")


def _overlap(prefix: str, folder: str) -> bool:
    return prefix.startswith(folder) or folder.startswith(prefix)
