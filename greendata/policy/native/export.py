"""Policies as rules of a provider, where those can say the same; the rest is named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from greendata.policy.native.atoms import NotExpressibleError, Terms, only, read_terms
from greendata.policy.review import scopes_meet
from greendata.policy.verdicts import forbids_sql

if TYPE_CHECKING:
    from greendata.policy.document import LoadedPolicy, PolicySet

CLASS_OF_TIER = {
    "intelligent": "INTELLIGENT_TIERING",
    "cool": "STANDARD_IA",
    "cold": "GLACIER_IR",
    "archive": "GLACIER",
    "deep_archive": "DEEP_ARCHIVE",
}
SMALLEST_IA_DAYS = 30
"""S3 takes no rule that moves to STANDARD_IA earlier (S3 user guide, "Transitioning objects")."""
DEFAULT_MINIMUM_BYTES = 128 * 2**10
MOST_TAGS = 10
_AZURE_ACTIONS = {
    "hot": "tierToHot",
    "cool": "tierToCool",
    "cold": "tierToCold",
    "archive": "tierToArchive",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """``document`` is what the provider takes; the rest are sentences, by policy name.

    Attributes:
        document: the rules; those of no policy if none can be said.
        notes: where the provider's rule does something else than the policy.
        left_out: policies that have no rule, and why.
    """

    document: dict[str, Any]
    exported: tuple[str, ...]
    notes: tuple[str, ...]
    left_out: tuple[str, ...]


def export_rules(policies: PolicySet, to: Literal["s3", "az"], container: str | None) -> Exported:
    """Rules for one bucket (S3) or one storage account (Azure).

    ``container`` is its name; policies about another one are left out, those about any are kept.
    """
    rules: list[dict[str, Any]] = []
    exported, notes, left_out = [], [], []
    for policy in policies.policies:
        try:
            _refuse_protected(policy, policies.policies)
            found, said = _RULES[to](policy, policies.policies, container)
        except NotExpressibleError as error:
            left_out.append(f"{policy.name}: {error}")
            continue
        rules += found
        exported.append(policy.name)
        notes += [f"{policy.name}: {sentence}" for sentence in said]
    key = "Rules" if to == "s3" else "rules"
    return Exported(
        document={key: rules},
        exported=tuple(exported),
        notes=tuple(notes),
        left_out=tuple(left_out),
    )


def _refuse_protected(policy: LoadedPolicy, others: Sequence[LoadedPolicy]) -> None:
    """The provider's rules would act on what another policy protects."""
    if policy.kind == "protect":
        raise NotExpressibleError("protect: rules cannot forbid anything")
    for other in others:
        if (
            other.kind == "protect"
            and forbids_sql(other, policy, {}) is not None
            and scopes_meet(policy, other)
        ):
            raise NotExpressibleError(f"{other.name} protects some of it, which rules cannot")


def _scope_places(
    policy: LoadedPolicy, store: str, container: str | None
) -> list[tuple[str | None, str]]:
    """Bucket or container (None: any) and key prefix of each prefix in the scope."""
    scope = policy.model.scope
    if scope and scope.datasets:
        raise NotExpressibleError("a dataset: rules know prefixes only; name scope.prefixes")
    if scope and scope.exclude:
        raise NotExpressibleError("exclude: rules cannot leave something out")
    places: list[tuple[str | None, str]] = []
    for prefix in scope.prefixes if scope else ():
        scheme, _, rest = prefix.partition("://")
        owner, _, key = rest.partition("/")
        if scheme != store:
            raise NotExpressibleError(f"{prefix} is in another kind of store")
        bucket, _, account = owner.partition("@")
        chosen = bucket if store == "s3" else account
        if container is not None and chosen not in ("", container):
            raise NotExpressibleError(f"{prefix} is in another place than {container}")
        places.append((bucket, f"{key.rstrip('/')}/" if key.strip("/") else ""))
    return places or [(None, "")]


def _refuse_what_rules_lack(policy: LoadedPolicy) -> list[str]:
    guard = policy.model.guard.model_dump(
        exclude_none=True, exclude_defaults=True, exclude={"readers"}
    )
    if guard:
        raise NotExpressibleError(f"guard {', '.join(sorted(guard))}: rules act without asking")
    said = []
    if policy.kind == "expire":
        said.append(
            "the provider removes at once, without quarantine, and asks no retention of"
            " greendata.yaml"
        )
    return said


def _upper_bound(policy: LoadedPolicy, terms: Terms, others: Sequence[LoadedPolicy]) -> None:
    """A rule goes on for ever: an upper age must be where another policy takes over."""
    for column, limit in terms.below.items():
        if column == "size_bytes":
            continue
        for other in others:
            if other.kind in ("tier", "expire") and other.model.scope == policy.model.scope:
                try:
                    if read_terms(other).at_least.get(column) == limit:
                        break
                except NotExpressibleError:
                    continue
        else:
            raise NotExpressibleError(f"{column} below {limit}: a rule goes on for ever")


def _s3_rules(
    policy: LoadedPolicy, others: Sequence[LoadedPolicy], bucket: str | None
) -> tuple[list[dict[str, Any]], list[str]]:
    places = _scope_places(policy, "s3", bucket)
    said = _refuse_what_rules_lack(policy)
    terms = read_terms(policy)
    told = "S3 rules know age, size, prefix and tags only"
    only(terms.at_least, ("age_days", "size_bytes", "noncurrent_days", "newer_versions"), told)
    only(terms.below, ("age_days", "size_bytes", "noncurrent_days"), told)
    only(terms.starts, ("key",), told)
    only(terms.equals, ("store", "bucket"), told)
    _upper_bound(policy, terms, others)
    if terms.equals.get("store", "s3") != "s3":
        raise NotExpressibleError("it is about another kind of store")
    if bucket is not None and terms.equals.get("bucket", bucket) != bucket:
        raise NotExpressibleError(f"it is about another bucket than {bucket}")
    action = _s3_action(policy, terms)
    if policy.kind == "tier" and "size_bytes" not in terms.below:
        least = terms.at_least.get("size_bytes", 0)
        if least == DEFAULT_MINIMUM_BYTES:
            terms.at_least.pop("size_bytes")  # what S3 does by default
        elif least == 0:
            said.append("S3 moves nothing smaller than 128 KiB by default")
    rules = []
    for number, (_, folder) in enumerate(places, 1):
        starts = terms.starts.get("key", "")
        if folder and starts and not starts.startswith(folder):
            raise NotExpressibleError("a prefix in its scope and another one in its condition")
        rules.append(
            {
                "ID": policy.name if len(places) == 1 else f"{policy.name}-{number}",
                "Status": "Enabled",
                "Filter": _s3_filter(starts or folder, terms),
                **action,
            }
        )
    return rules, said


def _s3_filter(prefix: str, terms: Terms) -> dict[str, Any]:
    parts: dict[str, Any] = {"Prefix": prefix} if prefix else {}
    if "size_bytes" in terms.at_least:
        parts["ObjectSizeGreaterThan"] = terms.at_least["size_bytes"] - 1
    if "size_bytes" in terms.below:
        parts["ObjectSizeLessThan"] = terms.below["size_bytes"]
    tags = [{"Key": key, "Value": value} for key, value in sorted(terms.tags.items())]
    if len(tags) + len(parts) > 1:
        return {"And": {**parts, **({"Tags": tags} if tags else {})}}
    if tags:
        return {"Tag": tags[0]}
    return parts or {"Prefix": ""}


def _s3_action(policy: LoadedPolicy, terms: Terms) -> dict[str, Any]:
    days = terms.at_least.get("age_days")
    is_filtered = bool(terms.tags) or "size_bytes" in {**terms.at_least, **terms.below}
    match policy.kind, policy.state:
        case "tier", "current":
            name = CLASS_OF_TIER.get(policy.value)
            if name is None:
                raise NotExpressibleError(f"tier {policy.value}: S3 rules only move down")
            if policy.value == "cool" and (days or 0) < SMALLEST_IA_DAYS:
                raise NotExpressibleError(
                    f"tier cool before {SMALLEST_IA_DAYS} days: S3 takes no such rule"
                )
            return {"Transitions": [{"Days": days or 0, "StorageClass": name}]}
        case "expire", "current" if days:
            return {"Expiration": {"Days": days}}
        case "expire", "noncurrent" if terms.at_least.get("noncurrent_days") and days is None:
            found = {"NoncurrentDays": terms.at_least["noncurrent_days"]}
            if "newer_versions" in terms.at_least:
                found["NewerNoncurrentVersions"] = terms.at_least["newer_versions"]
            return {"NoncurrentVersionExpiration": found}
        case "expire", "expired-delete-marker" if days is None and not is_filtered:
            return {"Expiration": {"ExpiredObjectDeleteMarker": True}}
        case "abort_uploads", _ if days is None and not is_filtered:
            after = policy.value.older_than_days
            return {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": after}}
    raise NotExpressibleError(f"{policy.kind} of {policy.state} objects on this condition")


def _azure_rules(
    policy: LoadedPolicy, others: Sequence[LoadedPolicy], account: str | None
) -> tuple[list[dict[str, Any]], list[str]]:
    places = _scope_places(policy, "az", account)
    said = _refuse_what_rules_lack(policy)
    terms = read_terms(policy)
    told = "Azure rules know age, last access, prefix and tags only"
    ages = ("age_days", "idle_days", "days_in_tier")
    only(terms.at_least, ages, told)
    only(terms.below, ages, told)
    only(terms.starts, ("key", "bucket"), told)
    only(terms.equals, ("store", "bucket", "account"), told)
    _upper_bound(policy, terms, others)
    if terms.equals.get("store", "az") != "az":
        raise NotExpressibleError("it is about another kind of store")
    if account is not None and terms.equals.get("account", account) != account:
        raise NotExpressibleError(f"it is about another account than {account}")
    if "idle_days" in terms.at_least:
        said.append("Azure counts blobs it never saw read from when tracking was turned on")
    key = {"current": "baseBlob", "noncurrent": "version"}.get(policy.state)
    if key is None or policy.kind not in ("tier", "expire"):
        raise NotExpressibleError(f"{policy.kind} of {policy.state} objects")
    filters: dict[str, Any] = {"blobTypes": ["blockBlob"]}
    prefixes = _azure_prefixes(places, terms)
    if prefixes:
        filters["prefixMatch"] = prefixes
    if terms.tags:
        filters["blobIndexMatch"] = [
            {"name": name, "op": "==", "value": value} for name, value in sorted(terms.tags.items())
        ]
    action = _AZURE_ACTIONS.get(str(policy.value)) if policy.kind == "tier" else "delete"
    if action is None or len(terms.tags) > MOST_TAGS:
        raise NotExpressibleError(f"{policy.kind} {policy.value}")
    definition = {
        "filters": filters,
        "actions": {key: {action: _azure_ages(policy, terms, is_version=key == "version")}},
    }
    rule = {"enabled": True, "name": policy.name, "type": "Lifecycle", "definition": definition}
    return [rule], said


def _azure_prefixes(places: Sequence[tuple[str | None, str]], terms: Terms) -> list[str]:
    key, container = terms.starts.get("key", ""), terms.equals.get("bucket")
    if places != [(None, "")]:
        if terms.starts or container:
            raise NotExpressibleError("a prefix in its scope and another one in its condition")
        return [f"{name}/{folder}" for name, folder in places]
    if "bucket" in terms.starts:
        if key or container:
            raise NotExpressibleError("the beginning of a container's name together with a key's")
        return [terms.starts["bucket"]]
    if container:
        return [f"{container}/{key}"]
    if key:
        raise NotExpressibleError("the beginning of a key without its container")
    return []


def _azure_ages(policy: LoadedPolicy, terms: Terms, *, is_version: bool) -> dict[str, int]:
    modified = "daysAfterCreationGreaterThan" if is_version else "daysAfterModificationGreaterThan"
    names = {
        "age_days": modified,
        "idle_days": "daysAfterLastAccessTimeGreaterThan",
        "days_in_tier": "daysAfterLastTierChangeGreaterThan",
    }
    if "idle_days" in terms.at_least and policy.model.unknown_access != "keep":
        raise NotExpressibleError("unknown_access: Azure has a meaning of its own for it")
    found = {names[column]: days - 1 for column, days in terms.at_least.items()}
    if not found.keys() - {"daysAfterLastTierChangeGreaterThan"} or min(found.values()) < 0:
        raise NotExpressibleError("no age or last access to count from")
    if "days_in_tier" in terms.at_least and policy.value != "archive":
        raise NotExpressibleError("days_in_tier, which Azure knows for the archive tier only")
    return found


_RULES = {"s3": _s3_rules, "az": _azure_rules}
