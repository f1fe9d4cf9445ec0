"""How each endpoint of a plan may be changed, and whether it may be changed at all."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from greendata.errors import UnsupportedError
from greendata.execute.handlers.base import Way
from greendata.jobs.container_rules import GRACE_DAYS, find_conflicts
from greendata.jobs.doctor import NEEDS, Verdict, diagnose, keep_diagnosis
from greendata.stores.opening import is_remote, settings_for
from greendata.stores.uris import parse_uri

if TYPE_CHECKING:
    from greendata.catalog.tables import Catalog
    from greendata.config import StoreSettings
    from greendata.progress import Progress
    from greendata.stores.opening import Stores
    from greendata.stores.records import ContainerRules

LONGEST_TRUST_DAYS = 30
"""A server that was probed longer ago is probed again before it is changed."""

NEEDED = {
    **{kind: kind for kind in ("tier", "relocate", "recompress", "quarantine", "expire")},
    **dict.fromkeys(("tag", "hold", "restore", "abort_uploads"), "read"),
    "untier": "tier",
    "purge": "expire",
    # a rule that endangers quarantine is no reason to leave there what is wanted back
    **dict.fromkeys(("bring_back", "left_alone"), "read"),
}
"""What of ``doctor`` an action relies on."""

_VERSIONS = "versioning"

# Preconditions only keep others' writes from being lost: where nobody else writes, a look at the
# object right before is as good. Whatever else a probe found is never waived.
_ABOUT_RACES = frozenset(
    name
    for alternatives in NEEDS.values()
    for needed in alternatives
    for name in needed
    if name.startswith("race-") or name.endswith(("-if-match", "-if-absent", "-in-place"))
)


def root_of(uri: str, folders: Sequence[str]) -> str:
    """URI of what holds ``.greendata/``: the bucket; of a local file the outermost of ``folders``.

    A file outside all of them has its own folder as root.
    """
    if is_remote(uri):
        return str(parse_uri(uri).with_key(""))
    outer = [folder for folder in folders if uri.startswith(folder)]
    return min(outer, key=len, default=uri.rpartition("/")[0] + "/")


def find_ways(
    kinds: Mapping[str, Collection[str]],
    *,
    catalog: Catalog,
    store: Stores,
    now: datetime,
    progress: Progress,
    grace_days: int = GRACE_DAYS,
) -> dict[str, Way]:
    """The way of each root, for the kinds of action that are meant there.

    What was probed lately is taken from the catalog; other endpoints are probed now. Rules of
    buckets are read now.

    Raises:
        UnsupportedError: a needed precondition is ignored where others may write, or a rule of the
            bucket would remove what waits in quarantine.
    """
    known = _diagnoses(catalog)
    found = {}
    for root, wanted in sorted(kinds.items()):
        if not is_remote(root):
            found[root] = Way(root=root)
            continue
        document = known.get(root)
        if document is None or _age(document, now) > timedelta(days=LONGEST_TRUST_DAYS):
            progress.stage(f"probing {root}")
            diagnosis = diagnose(store.store_of(root), root, now=now, progress=progress)
            keep_diagnosis(catalog, diagnosis)
            document = json.loads(json.dumps(diagnosis.as_dict(), default=str))
        rules = store.rules(root)
        _refuse_rules(root, wanted, rules, grace_days)
        settings = settings_for(root, store.settings)
        found[root] = _way(root, wanted, document, settings, is_versioned=rules.versioning == "on")
    return found


def _diagnoses(catalog: Catalog) -> dict[str, dict[str, Any]]:
    """The newest probe of each bucket."""
    import pyarrow.dataset as ds

    files = catalog.files("diagnoses", None)
    if not files:
        return {}
    rows = ds.dataset(files).to_table(columns=["uri", "checked_at", "document"]).to_pylist()
    newest: dict[str, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: row["checked_at"]):
        if is_remote(row["uri"]):
            newest[root_of(row["uri"], ())] = json.loads(row["document"])
    return newest


def _age(document: Mapping[str, Any], now: datetime) -> timedelta:
    return now - datetime.fromisoformat(str(document["checked_at"]))


def _refuse_rules(root: str, wanted: Iterable[str], rules: ContainerRules, grace_days: int) -> None:
    needed = {NEEDED[kind] for kind in wanted}
    for conflict in find_conflicts(rules, root, grace_days=grace_days):
        hit = sorted(needed.intersection(conflict.actions))
        if hit:
            raise UnsupportedError(
                f"{root}: lifecycle rule {conflict.rule} {conflict.effect}; {', '.join(hit)}"
                " could not be undone.",
                hint="Change the rule so that it leaves .greendata/ and versions within grace.",
            )


def _way(
    root: str,
    wanted: Collection[str],
    document: Mapping[str, Any],
    settings: StoreSettings,
    *,
    is_versioned: bool,
) -> Way:
    honoured = {
        entry["name"] for entry in document["findings"] if entry["verdict"] == Verdict.HONOURED
    }
    # a bucket whose versioning was suspended since then deletes for ever what a marker would hide
    honoured = honoured - {_VERSIONS} | ({_VERSIONS} if is_versioned else set())
    trusted = honoured | _ABOUT_RACES if settings.exclusive_writer else honoured
    for need in sorted({"lease", *(NEEDED[kind] for kind in wanted)}):
        lacking = min((needed - trusted for needed in NEEDS[need]), key=len)
        if lacking:
            raise UnsupportedError(
                f"{root}: {need} is not safe here: the store does not honour"
                f" {', '.join(sorted(lacking))} (probed {str(document['checked_at'])[:10]}).",
                hint="If nobody else writes there, say so in greendata.yaml: stores:"
                f" [{{match: {root!r}, exclusive_writer: true}}].",
            )
    return Way(
        root=root,
        is_versioned=is_versioned,
        copies_conditionally={"copy-source-if-match", "copy-if-absent"} <= trusted,
        deletes_conditionally="delete-if-match" in honoured,
        is_exclusive=settings.exclusive_writer,
        probed_at=datetime.fromisoformat(str(document["checked_at"])),
    )
