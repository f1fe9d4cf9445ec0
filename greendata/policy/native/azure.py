"""Azure Blob management policies, as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from greendata.policy.native.draft import (
    GRACE_DAYS,
    Draft,
    Imported,
    ImportFailedError,
    only_keys,
    quoted,
    slug,
    with_priorities,
)

_TIERS = {
    "tierToHot": "hot",
    "tierToCool": "cool",
    "tierToCold": "cold",
    "tierToArchive": "archive",
}
_COLUMNS = {
    "daysAfterModificationGreaterThan": "age_days",
    "daysAfterCreationGreaterThan": "age_days",
    "daysAfterLastAccessTimeGreaterThan": "idle_days",
    "daysAfterLastTierChangeGreaterThan": "days_in_tier",
}


def find_rules(document: Any) -> list[Any] | None:
    """The rules of a management policy in any of the shapes that tools print; None: it is none."""
    if not isinstance(document, Mapping):
        return None
    for key in ("properties", "policy"):
        if key in document:
            return find_rules(document[key])
    if isinstance(document.get("rules"), list):
        return list(document["rules"])
    return [document] if "definition" in document else None


def import_azure_rules(rules: Sequence[Any], account: str | None) -> Imported:
    """Rules of a management policy.

    Raises:
        ImportFailedError: which rule, and why.
    """
    drafts: list[Draft] = []
    left_out: list[str] = []
    for number, rule in enumerate(rules, 1):
        name = str(rule.get("name") or f"rule-{number}") if isinstance(rule, Mapping) else ""
        try:
            found, lost = _rule(rule, name, account)
        except ImportFailedError as error:
            raise ImportFailedError(f"rule {name or number}: {error}") from None
        drafts += found
        left_out += lost
    if not drafts:
        raise ImportFailedError("nothing to import: " + (" ".join(left_out) or "it has no rules"))
    if account is None:
        left_out.append(
            "the storage account, which the file does not name: these policies are about every"
            " Azure account of the catalog. Import with --account NAME, or add scope.prefixes."
        )
    return Imported(
        kind="Azure management policy", drafts=with_priorities(drafts), left_out=tuple(left_out)
    )


def _rule(rule: Any, name: str, account: str | None) -> tuple[list[Draft], list[str]]:
    only_keys(rule, ("enabled", "name", "type", "definition"), "a rule")
    if rule.get("enabled", True) is not True:
        return [], [f"rule {name}, which is not enabled."]
    definition = rule.get("definition")
    only_keys(definition, ("filters", "actions"), "a definition")
    where, comments = _filters(definition.get("filters") or {}, account)
    actions = definition.get("actions")
    only_keys(actions, ("baseBlob", "snapshot", "version"), "actions")
    drafts: list[Draft] = []
    left_out: list[str] = []
    if actions.get("snapshot"):
        left_out.append(f"rule {name}: snapshots, which the inventory does not have.")
    for key, state in (("baseBlob", None), ("version", "noncurrent")):
        for item in _drafts(actions.get(key) or {}, name, state, where, comments):
            if isinstance(item, Draft):
                drafts.append(item)
            else:
                left_out.append(item)
    if not drafts and not left_out:
        raise ImportFailedError("it has no action")
    return drafts, left_out


def _filters(filters: Any, account: str | None) -> tuple[list[str], list[str]]:
    only_keys(filters, ("blobTypes", "prefixMatch", "blobIndexMatch"), "filters")
    where = ["store = 'az'"] if account is None else [f"account = {quoted(account)}"]
    comments = []
    places = [_place(str(prefix)) for prefix in filters.get("prefixMatch") or []]
    if len(places) == 1:
        where += places[0]
    elif places:
        where.append("(" + " or ".join(f"({' and '.join(place)})" for place in places) + ")")
    for tag in filters.get("blobIndexMatch") or []:
        only_keys(tag, ("name", "op", "value"), "blobIndexMatch")
        if tag.get("op", "==") != "==":
            raise ImportFailedError(f"blobIndexMatch with {tag.get('op')!r}")
        where.append(f"tag({quoted(str(tag.get('name')))}) = {quoted(str(tag.get('value')))}")
        comments.append("Where tags are unknown (a listing without them), nothing is done.")
    if "appendBlob" in (filters.get("blobTypes") or []):
        comments.append(
            "The inventory does not tell block blobs from append blobs: both are meant."
        )
    return where, comments


def _place(prefix: str) -> list[str]:
    """Azure takes the beginning of a container's name, too."""
    container, slash, key = prefix.partition("/")
    if not slash:
        return [f"starts_with(bucket, {quoted(container)})"]
    return [f"bucket = {quoted(container)}"] + ([f"starts_with(key, {quoted(key)})"] if key else [])


def _drafts(
    actions: Mapping[str, Any],
    name: str,
    state: str | None,
    where: Sequence[str],
    comments: Sequence[str],
) -> Iterator[Draft | str]:
    only_keys(actions, (*_TIERS, "delete", "enableAutoTierToHotFromCool"), "an action")
    if actions.get("enableAutoTierToHotFromCool"):
        yield (
            f"rule {name}: enableAutoTierToHotFromCool: blobs that are read again stay cool; a"
            " policy with `reads_30d >= 1` and `tier: hot` can bring them back."
        )
    steps = []
    for key in (*_TIERS, "delete"):
        if key in actions:
            parts, notes = _conditions(actions[key], key)
            steps.append((key, parts, notes))
    for place, (key, parts, notes) in enumerate(steps):
        bound = []
        if place + 1 < len(steps):
            bound = [f"{c} <= {days}" for c, days in steps[place + 1][1] if c != "days_in_tier"]
        asked = [f"{column} > {days}" for column, days in parts]
        suffix = "expire" if key == "delete" else _TIERS[key]
        is_archive = suffix == "archive"
        said = [*comments, *notes]
        if is_archive:
            said.append("Is it true that nobody reads these? The Azure rule does not ask.")
        yield Draft(
            name=slug(name) + ("-versions-" if state else "-") + suffix,
            action={"expire": {"grace_days": GRACE_DAYS}} if key == "delete" else {"tier": suffix},
            where=(*where, *asked, *bound),
            state=state,
            guard={"readers": "none"} if is_archive else {},
            comments=tuple(dict.fromkeys(said)),
        )


def _conditions(given: Any, key: str) -> tuple[list[tuple[str, int]], list[str]]:
    only_keys(given, tuple(_COLUMNS), key)
    parts, notes = [], []
    for name, days in given.items():
        if not isinstance(days, int | float) or isinstance(days, bool) or int(days) != days:
            raise ImportFailedError(f"{key}: {name} is {days!r}, no whole number")
        parts.append((_COLUMNS[name], int(days)))
        if name == "daysAfterCreationGreaterThan":
            notes.append(
                "The rule counts from creation; age_days counts from the last change, which is"
                " never earlier."
            )
        if name == "daysAfterLastAccessTimeGreaterThan":
            notes.append(
                "Blobs whose last access is unknown stay; Azure would count from when tracking"
                " was turned on."
            )
    if not parts:
        raise ImportFailedError(f"{key} names no number of days")
    return parts, notes
