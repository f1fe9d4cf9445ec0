"""S3 lifecycle configurations, as XML and as the JSON of the AWS command line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from greendata.config import did_you_mean
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
from greendata.policy.native.xml import Element, read_xml

TIER_OF_CLASS = {
    "STANDARD_IA": "cool",
    "ONEZONE_IA": "cool",
    "INTELLIGENT_TIERING": "intelligent",
    "GLACIER_IR": "cold",
    "GLACIER": "archive",
    "DEEP_ARCHIVE": "deep_archive",
}
_SHOWN_NAMES = {
    "S3 Standard-IA": "STANDARD_IA",
    "S3 One Zone-IA": "ONEZONE_IA",
    "S3 Intelligent-Tiering": "INTELLIGENT_TIERING",
    "S3 Glacier Instant Retrieval": "GLACIER_IR",
    "S3 Glacier Flexible Retrieval": "GLACIER",
    "S3 Glacier Deep Archive": "DEEP_ARCHIVE",
}
"""How the console and the guide write them; the API does not take these."""

_LISTS = {"Rule": "Rules", "Transition": "Transitions", "Tag": "Tags",
          "NoncurrentVersionTransition": "NoncurrentVersionTransitions"}  # fmt: skip
_NUMBERS = ("Days", "NoncurrentDays", "NewerNoncurrentVersions", "DaysAfterInitiation",
            "ObjectSizeGreaterThan", "ObjectSizeLessThan")  # fmt: skip
_HOLDERS = ("LifecycleConfiguration", "Rule", "Filter", "And", "Transition", "Expiration",
            "NoncurrentVersionTransition", "NoncurrentVersionExpiration",
            "AbortIncompleteMultipartUpload", "Tag")  # fmt: skip
_RULE_KEYS = ("ID", "Status", "Filter", "Prefix", "Transitions", "Transition", "Expiration",
              "NoncurrentVersionTransitions", "NoncurrentVersionTransition",
              "NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload")  # fmt: skip
_FILTER_KEYS = ("Prefix", "Tag", "Tags", "And", "ObjectSizeGreaterThan", "ObjectSizeLessThan")
_DEFAULT_SIZE = "all_storage_classes_128K"
_NO_MINIMUM = ("GLACIER", "DEEP_ARCHIVE")
"""With ``varies_by_storage_class`` objects of any size move into these."""


def import_s3_xml(raw: bytes, bucket: str | None) -> Imported:
    """A ``LifecycleConfiguration`` document.

    Raises:
        ImportFailedError: which rule, and why.
    """
    root = read_xml(raw)
    if root.name != "LifecycleConfiguration":
        raise ImportFailedError(f"<{root.name}> is no S3 lifecycle configuration")
    return import_s3_rules(_mapping(root), bucket)


def _mapping(element: Element) -> dict[str, Any]:
    """The JSON shape of an element."""
    stray = element.text.strip()
    if stray and element.name in _HOLDERS:
        raise ImportFailedError(
            f"line {element.line}: <{element.name}> holds the text {stray.split()[0]!r}, which is"
            " no part of a rule"
        )
    found: dict[str, Any] = {}
    for child in element.children:
        name = _LISTS.get(child.name, child.name)
        value: Any = _mapping(child) if child.name in _HOLDERS else child.text.strip()
        if child.children and child.name not in _HOLDERS:
            raise ImportFailedError(
                f"line {child.line}: <{child.children[0].name}> inside <{child.name}>; is a closing"
                " tag missing?"
            )
        if child.name in _NUMBERS:
            value = _whole(value, child.name, f"line {child.line}")
        if value == "true":
            value = True
        if child.name in _LISTS:
            found.setdefault(name, []).append(value)
        elif name in found:
            raise ImportFailedError(f"line {child.line}: <{child.name}> stands there twice")
        else:
            found[name] = value
    return found


def import_s3_rules(document: Mapping[str, Any], bucket: str | None) -> Imported:
    """``{"Rules": [...]}``.

    Raises:
        ImportFailedError: which rule, and why.
    """
    rules = document.get("Rules")
    if not isinstance(rules, list) or not rules:
        raise ImportFailedError("no lifecycle rules in it: an S3 configuration has a list `Rules`")
    minimum = str(document.get("TransitionDefaultMinimumObjectSize", _DEFAULT_SIZE))
    drafts: list[Draft] = []
    left_out: list[str] = []
    for number, rule in enumerate(rules, 1):
        name = str(rule.get("ID") or f"rule-{number}") if isinstance(rule, Mapping) else ""
        try:
            found, lost = _rule(rule, name, bucket, minimum)
        except ImportFailedError as error:
            raise ImportFailedError(f"rule {name or number}: {error}") from None
        drafts += found
        left_out += lost
    if not drafts:
        raise ImportFailedError("nothing to import: " + " ".join(left_out))
    if bucket is None:
        left_out.append(
            "the bucket, which the file does not name: these policies are about every S3 bucket of"
            " the catalog. Import with --bucket NAME, or add scope.prefixes."
        )
    return Imported(kind="S3 lifecycle", drafts=with_priorities(drafts), left_out=tuple(left_out))


def _rule(rule: Any, name: str, bucket: str | None, minimum: str) -> tuple[list[Draft], list[str]]:
    if not isinstance(rule, Mapping):
        raise ImportFailedError("a rule has keys and values")
    only_keys(rule, _RULE_KEYS, "a rule")
    status = rule.get("Status")
    if status == "Disabled":
        return [], [f"rule {name}, which is disabled."]
    if status != "Enabled":
        raise ImportFailedError(f"Status is {status!r}, neither Enabled nor Disabled")
    prefixes, where, comments, has_size = _filter(rule, bucket)
    steps = sorted(_steps(rule), key=lambda step: step[0])
    drafts, left_out = [], []
    for place, (days, kind, value) in enumerate(steps):
        if days is None or days < 0:
            left_out.append(
                f"rule {name}: {kind} on a date: policies ask for ages, not for the calendar."
            )
            continue
        parts, notes = [f"age_days >= {days}"], list(comments)
        later = [step[0] for step in steps[place + 1 :]]
        if later:
            parts.append(f"age_days < {later[0]}")
        if later and later[0] == days:
            notes.append("Another step of the rule is due on the same day: this one never acts.")
        if kind == "tier":
            size_parts, size_notes = _default_size(value, minimum, has_size=has_size)
            parts, notes = [*parts, *size_parts], [*notes, *size_notes, *_class_notes(value)]
        drafts.append(_draft(name, kind, value, prefixes, [*where, *parts], notes))
    for draft_or_lost in _version_drafts(rule, name, prefixes, where, comments):
        if isinstance(draft_or_lost, Draft):
            drafts.append(draft_or_lost)
        else:
            left_out.append(draft_or_lost)
    if not drafts and not left_out:
        raise ImportFailedError("it has no action")
    return drafts, left_out


def _draft(
    name: str,
    kind: str,
    value: str,
    prefixes: Sequence[str],
    where: Sequence[str],
    comments: Sequence[str],
) -> Draft:
    if kind == "tier":
        tier = TIER_OF_CLASS[value]
        is_archive = tier in ("archive", "deep_archive")
        notes = list(comments)
        if is_archive:
            notes.append("Is it true that nobody reads these? The S3 rule does not ask.")
        return Draft(
            name=f"{slug(name)}-{tier.replace('_', '-')}",
            action={"tier": tier},
            where=tuple(where),
            prefixes=tuple(prefixes),
            guard={"readers": "none"} if is_archive else {},
            comments=tuple(notes),
        )
    return Draft(
        name=f"{slug(name)}-expire",
        action={"expire": {"grace_days": GRACE_DAYS}},
        where=tuple(where),
        prefixes=tuple(prefixes),
        comments=tuple(comments),
    )


def _steps(rule: Mapping[str, Any]) -> Iterator[tuple[int, str, str]]:
    """Days, what happens and the class; days below zero stand for a date."""
    given = rule.get("Transitions", rule.get("Transition", []))
    for item in given if isinstance(given, list) else [given]:
        only_keys(item, ("Days", "Date", "StorageClass"), "a transition")
        found = str(item.get("StorageClass", ""))
        shown = _SHOWN_NAMES.get(found, found)
        if shown not in TIER_OF_CLASS:
            known = [*TIER_OF_CLASS, *_SHOWN_NAMES]
            raise ImportFailedError(
                f"storage class {found!r} is unknown.{did_you_mean(found, known)}"
            )
        yield _days(item), "tier", shown
    expiration = rule.get("Expiration")
    if expiration:
        only_keys(expiration, ("Days", "Date", "ExpiredObjectDeleteMarker"), "an expiration")
        if "Days" in expiration or "Date" in expiration:
            yield _days(expiration), "expire", ""


def _days(item: Mapping[str, Any]) -> int:
    if "Days" in item:
        return _whole(item["Days"], "Days", "")
    if "Date" in item:
        return -1
    raise ImportFailedError("neither Days nor Date")


def _whole(value: Any, name: str, where: str) -> int:
    try:
        number = int(str(value))
    except ValueError:
        number = -1
    if isinstance(value, bool | float) or not 0 <= number < 2**63:
        raise ImportFailedError(f"{where}: {name} is {value!r}, no whole number".removeprefix(": "))
    return number


def _filter(
    rule: Mapping[str, Any], bucket: str | None
) -> tuple[list[str], list[str], list[str], bool]:
    """Prefixes, parts of the condition, comments, and whether sizes are named."""
    given = rule.get("Filter")
    found: dict[str, Any] = {"Prefix": rule.get("Prefix", "")}
    found |= given if isinstance(given, Mapping) else {}
    only_keys(found, _FILTER_KEYS, "a filter")
    both = found.pop("And", None) or {}
    only_keys(both, _FILTER_KEYS, "And")
    found |= both
    tags = [*found.get("Tags", []), *([found["Tag"]] if "Tag" in found else [])]
    prefix = str(found.get("Prefix") or "")
    prefixes, where, comments = _place(prefix, bucket)
    for item in [tag for entry in tags for tag in (entry if isinstance(entry, list) else [entry])]:
        only_keys(item, ("Key", "Value"), "a tag")
        where.append(f"tag({quoted(str(item.get('Key')))}) = {quoted(str(item.get('Value')))}")
    if tags:
        comments.append("Listings carry no tags: where they are unknown, nothing is done.")
    for key, sign in (("ObjectSizeGreaterThan", ">"), ("ObjectSizeLessThan", "<")):
        if key in found:
            where.append(f"size_bytes {sign} {_whole(found[key], key, '')}")
    has_size = "ObjectSizeGreaterThan" in found or "ObjectSizeLessThan" in found
    return prefixes, where, comments, has_size


def _place(prefix: str, bucket: str | None) -> tuple[list[str], list[str], list[str]]:
    comments = []
    if prefix.startswith("/"):
        comments.append(
            f"The prefix {prefix!r} begins with a slash: it matches keys that begin with one only,"
            " not all objects."
        )
    if bucket is not None and (prefix == "" or prefix.endswith("/")) and prefix != "/":
        return [f"s3://{bucket}/{prefix}"], [], comments
    prefixes = [] if bucket is None else [f"s3://{bucket}/"]
    where = ["store = 's3'"] if bucket is None else []
    if prefix:
        where.append(f"starts_with(key, {quoted(prefix)})")
    return prefixes, where, comments


def _default_size(
    storage_class: str, minimum: str, *, has_size: bool
) -> tuple[list[str], list[str]]:
    """S3 moves nothing below 128 KiB unless a filter names a size."""
    if has_size or (minimum != _DEFAULT_SIZE and storage_class in _NO_MINIMUM):
        return [], []
    return ["size_bytes >= kib(128)"], ["S3 moves nothing smaller than 128 KiB by default."]


def _class_notes(storage_class: str) -> Iterator[str]:
    if storage_class == "ONEZONE_IA":
        yield "The rule says ONEZONE_IA; the tier cool is STANDARD_IA, which several zones hold."


def _version_drafts(
    rule: Mapping[str, Any],
    name: str,
    prefixes: Sequence[str],
    where: Sequence[str],
    comments: Sequence[str],
) -> Iterator[Draft | str]:
    """Earlier versions, delete markers and uploads; a sentence for what cannot be kept."""
    base = slug(name)
    expire = {"expire": {"grace_days": GRACE_DAYS}}
    markers = (rule.get("Expiration") or {}).get("ExpiredObjectDeleteMarker")
    if markers is True:
        yield Draft(
            name=f"{base}-delete-markers", action=expire, where=tuple(where),
            prefixes=tuple(prefixes), state="expired-delete-marker", comments=tuple(comments),
        )  # fmt: skip
    versions = rule.get("NoncurrentVersionExpiration")
    if versions:
        only_keys(versions, ("NoncurrentDays", "NewerNoncurrentVersions"), "an expiration")
        parts = [*where]
        for key, column in (
            ("NoncurrentDays", "noncurrent_days"),
            ("NewerNoncurrentVersions", "newer_versions"),
        ):
            if key in versions:
                parts.append(f"{column} >= {_whole(versions[key], key, '')}")
        if len(parts) == len(where):
            raise ImportFailedError("NoncurrentVersionExpiration names no number of days")
        yield Draft(
            name=f"{base}-earlier-versions", action=expire, where=tuple(parts),
            prefixes=tuple(prefixes), state="noncurrent", comments=tuple(comments),
        )  # fmt: skip
    moves = rule.get("NoncurrentVersionTransitions", rule.get("NoncurrentVersionTransition"))
    for move in moves if isinstance(moves, list) else [moves] if moves else []:
        yield (
            f"rule {name}: earlier versions to {move.get('StorageClass')} after"
            f" {move.get('NoncurrentDays')} days: S3 has no call that changes the class of an"
            " earlier version in place; keep the bucket's own rule for that."
        )
    uploads = rule.get("AbortIncompleteMultipartUpload")
    if uploads:
        only_keys(uploads, ("DaysAfterInitiation",), "AbortIncompleteMultipartUpload")
        days = _whole(uploads.get("DaysAfterInitiation"), "DaysAfterInitiation", "")
        yield Draft(
            name=f"{base}-uploads",
            action={"abort_uploads": {"older_than_days": max(days, 1)}},
            where=tuple(where), prefixes=tuple(prefixes), comments=tuple(comments),
        )  # fmt: skip
