"""``recompress``: shards written again as zstd Parquet, in the place of what they were.

The new object is staged, read back and compared row by row before anything is switched. Under the
same key one conditional write replaces the old bytes, which are kept until purge. Under another key
(JSON Lines become ``.parquet``) readers must be told: by the manifest of their dataset, all objects
at once; without one only where the policy says ``allow_window: true`` of data that nobody reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from greendata.errors import (
    GreendataError,
    IntegrityError,
    LimitExceededError,
    LockedError,
    PreconditionFailedError,
    StoreUnreachableError,
    UnreadableShardError,
)
from greendata.execute.handlers.base import CannotUndo, Context, Handler, outcome_of
from greendata.execute.pins import refuse_pinned
from greendata.execute.records import Action, Outcome, Status, done, skipped
from greendata.execute.replacing import (
    PUT_BACK,
    made_from,
    proof_of,
    put_back,
    put_back_action,
    replace_object,
    replaced_before,
)
from greendata.execute.retiring import find_retired
from greendata.execute.returning import RETURN, return_action, take_back
from greendata.execute.superseding import supersede
from greendata.execute.together import Made, ManifestOf, make_together
from greendata.execute.verified import (
    copy_of,
    current_details,
    drop_staged,
    found_at,
    is_local,
    is_of_step,
    marked,
    properties_of,
    publish,
    stage,
    staging_uri,
    withdraw,
)
from greendata.plan.actions import KEPT_DAYS
from greendata.recompress.publishing import read_digest
from greendata.recompress.workfolder import work_folder
from greendata.shards.formats import name_hint
from greendata.stores.transfer import sha256_of

if TYPE_CHECKING:
    from greendata.model import StoredObject
    from greendata.recompress.digests import FileDigest
    from greendata.stores.records import ObjectDetails, Properties

LEAST_SAVING = 0.15
"""Share of the stored bytes that must be saved, as ``greendata recompress`` has it; policies may
say another."""

PARQUET_TYPE = "application/vnd.apache.parquet"
"""Registered with IANA in 2024."""

_ENDINGS = (".jsonl", ".ndjson", ".jsonlines", ".json", ".csv", ".tsv", ".tab", ".arrow", ".arrows",
            ".feather", ".ipc", ".pq", ".parquet")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewritten:
    """A local Parquet file with all rows of an object in their order.

    Attributes:
        digest: of the rows as they were read.
        source_sha256: of the stored bytes that were read.
        source_format: ``parquet``, ``jsonl``, …
    """

    path: Path
    digest: FileDigest
    source_sha256: str
    source_format: str


Rewrite = Callable[["StoredObject", str, Path], Rewritten]
"""``rewrite(item, profile, folder)``; an UnreadableShardError refuses."""


class RecompressHandler(Handler):
    """``rewrite`` is what ``greendata recompress`` writes with."""

    kinds: ClassVar[frozenset[str]] = frozenset({"recompress"})

    def __init__(self, rewrite: Rewrite, manifest_of: ManifestOf) -> None:
        self._rewrite = rewrite
        self._manifest_of = manifest_of

    def prepare(self, action: Action, context: Context) -> Mapping[str, Any]:
        manifest = None if "mode" in action.to else self._manifest_of(action)
        return {} if manifest is None else {"manifest": manifest}

    def act(
        self, action: Action, before: Mapping[str, Any], context: Context, *, is_resumed: bool
    ) -> Outcome:
        if action.to.get("mode") == PUT_BACK:
            return put_back(action, context)
        if action.to.get("mode") == RETURN or before.get("manifest"):
            return self.act_together([action], [before], context, is_resumed=is_resumed)[0]
        earlier = self._earlier(action, context) if is_resumed else None
        if earlier is not None:
            return earlier
        found = _checked(action, context)
        if isinstance(found, Outcome):
            return found
        if _is_renamed(action.uri) and not action.to.get("allow_window"):
            return _no_window(action)
        made = self._made(action, found, context, new_uri(action.uri), is_alone=True)
        if isinstance(made, Made):
            return _superseded(action, made, context, None)
        return made

    def act_together(
        self,
        actions: Sequence[Action],
        before: Sequence[Mapping[str, Any]],
        context: Context,
        *,
        is_resumed: bool,
    ) -> list[Outcome]:
        if actions[0].to.get("mode") == RETURN:
            return take_back(actions, context)
        manifest = before[0].get("manifest")
        if manifest is None:
            words = f"{actions[0].uri}: greendata.yaml names no manifest of its dataset any more."
            return [skipped("unsupported", words)] * len(actions)

        def target_of(action: Action) -> str:
            return new_uri(action.uri, context.step_id(action)[:8])

        def make(action: Action) -> Made | Outcome:
            found = _checked(action, context)
            if isinstance(found, Outcome):
                return found
            return self._made(action, found, context, target_of(action), is_alone=False)

        found = make_together(
            actions,
            manifest,
            context,
            check=lambda action: _checked(action, context),
            make=make,
            target_of=target_of,
        )
        return [
            _guarded(action, entry, context, manifest) if isinstance(entry, Made) else entry
            for action, entry in zip(actions, found, strict=True)
        ]

    def look(self, action: Action, before: Mapping[str, Any], context: Context) -> Outcome | None:
        manifest = before.get("manifest")
        if manifest is None and not _is_renamed(action.uri):
            return replaced_before(action, context, is_looking=True)
        mark = "" if manifest is None else context.step_id(action)[:8]
        there = found_at(context.store, new_uri(action.uri, mark))
        if there is None or not _is_made_of(there, action, context):
            return None
        made = _made_of(there, context)
        survivors = (made.copy.as_survivor(),)
        left = find_retired(action, context, grace_days=KEPT_DAYS, survivors=survivors)
        after = _after(action, made, context, manifest)
        return done(**after, **({} if left is None else {"quarantine": left.as_dict()}))

    def inverse(
        self, action: Action, before: Mapping[str, Any], outcome: Outcome
    ) -> Action | CannotUndo:
        after = outcome.after
        if after.get("uri") == action.uri:
            return put_back_action(action, after)
        return return_action(action, outcome, sha256=after.get("original_sha256", ""))

    def _earlier(self, action: Action, context: Context) -> Outcome | None:
        """What an earlier try of this step came to, if it got as far as its switch."""
        if not _is_renamed(action.uri):
            return replaced_before(action, context)
        there = found_at(context.store, new_uri(action.uri))
        if there is None or not _is_made_of(there, action, context):
            return None
        return _superseded(action, _made_of(there, context), context, None)

    def _made(
        self,
        action: Action,
        details: ObjectDetails,
        context: Context,
        target: str,
        *,
        is_alone: bool,
    ) -> Made | Outcome:
        """Write, stage, prove, switch. ``is_alone``: Parquet may be replaced under its own key."""
        step = context.step_id(action)
        with work_folder("apply") as folder:
            try:
                new = self._rewrite(details.item, str(action.to["profile"]), folder)
            except (UnreadableShardError, LimitExceededError) as error:
                return skipped("refused", error.message)
            size_bytes = new.path.stat().st_size
            least = float(action.to.get("min_saving", LEAST_SAVING))
            was_bytes = details.item.size_bytes
            if size_bytes > (1 - least) * was_bytes or size_bytes >= was_bytes:
                return skipped(
                    "no-saving",
                    f"{action.uri}: would be {size_bytes} bytes instead of {was_bytes}; at least"
                    f" {least:.0%} must be saved.",
                )
            is_parquet = new.source_format == "parquet"
            if is_alone and target == action.uri and not is_parquet:
                words = f"{action.uri}: is {new.source_format}, which its name does not say."
                return skipped("refused", words)
            properties = _new_properties(details, context, is_parquet=is_parquet)
            staged, digest = stage(new.path, action.uri, context, step, properties)
        try:
            if read_digest(context.store, staged).as_dict() != new.digest.as_dict():
                raise IntegrityError(f"{action.uri}: the rows that were stored are not its rows.")
            if is_alone and target == action.uri:
                return replace_object(
                    action,
                    details,
                    staged,
                    properties,
                    context,
                    old_sha256=new.source_sha256,
                    new_sha256=digest,
                )
            return _published(action, staged, target, properties, context, digest)
        except (StoreUnreachableError, LockedError):
            raise  # it goes on from here
        except GreendataError:
            drop_staged(context.store, staged.uri)
            raise


def new_uri(uri: str, mark: str = "") -> str:
    """Where the Parquet of an object goes: its own URI if it is Parquet by name.

    With ``mark``, which only a manifest's readers follow, Parquet gets another name too.
    """
    folder, _, name = uri.rpartition("/")
    if not _is_renamed(uri):
        stem = name[: -len(_ending(name))] if _ending(name) else name
        return f"{folder}/{stem}-{mark}{_ending(name)}" if mark else uri
    stem = name.removesuffix(".zst").removesuffix(".gz")
    return f"{folder}/{stem.removesuffix(_ending(stem))}.parquet"


def _ending(name: str) -> str:
    return next((ending for ending in _ENDINGS if name.endswith(ending)), "")


def _is_renamed(uri: str) -> bool:
    """Whether the name says that it is something else than Parquet."""
    return name_hint(uri).format not in (None, "parquet")


def _no_window(action: Action) -> Outcome:
    return skipped(
        "renamed",
        f"{action.uri}: would get another name, and nothing tells its readers. Give its dataset a"
        " manifest, or say `allow_window: true` in a policy with `guard: {readers: none}`.",
    )


def _checked(action: Action, context: Context) -> ObjectDetails | Outcome:
    found = current_details(action, context)
    return found if isinstance(found, Outcome) else refuse_pinned(action, context) or found


def _new_properties(details: ObjectDetails, context: Context, *, is_parquet: bool) -> Properties:
    """What goes with the new object: all but what says that it is text."""
    found = replace(properties_of(details, context.store), content_md5=None)
    if is_parquet:
        return found
    return replace(found, content_type=PARQUET_TYPE, content_encoding=None)


def _published(
    action: Action,
    staged: StoredObject,
    target: str,
    properties: Properties,
    context: Context,
    digest: str,
) -> Made | Outcome:
    """What was staged under a name of its own, where nothing is."""
    store, step = context.store, context.step_id(action)
    there = found_at(store, target)
    if there is None:
        try:
            publish(staged, target, context, properties=marked(properties, step))
        except PreconditionFailedError:
            there = found_at(store, target)
            if there is None:
                raise
        else:
            there = store.details(target)
    elif not is_local(target) and not is_of_step(there, step):
        drop_staged(store, staged.uri)
        return _taken(target)
    if there.item.size_bytes != staged.size_bytes or sha256_of(store, there.item) != digest:
        drop_staged(store, staged.uri)
        if is_of_step(there, step):
            withdraw(there, context)
        return _taken(target)
    more = proof_of(store, staged)
    drop_staged(store, staged.uri)
    moved = 4 * staged.size_bytes
    return Made(copy=replace(copy_of(there.item, digest), moved_bytes=moved), more=more)


def _taken(target: str) -> Outcome:
    return skipped("conflict", f"{target}: an object of somebody else has this name.")


def _is_made_of(there: ObjectDetails, action: Action, context: Context) -> bool:
    """Whether this step made it: by its mark, or, of a file, by what it says of its source."""
    if not is_local(there.item.uri):
        return is_of_step(there, context.step_id(action))
    source = found_at(context.store, action.uri)
    if source is not None and source.item.etag == action.etag:
        item = source.item
    else:
        left = find_retired(action, context, grace_days=KEPT_DAYS)
        if left is None:
            return False
        item = context.store.head(left.held_uri)
    return made_from(context.store, there.item) == sha256_of(context.store, item)


def _made_of(there: ObjectDetails, context: Context) -> Made:
    item = there.item
    digest = sha256_of(context.store, item)
    return Made(copy=copy_of(item, digest), more=proof_of(context.store, item))


def _guarded(action: Action, made: Made, context: Context, manifest: str | None) -> Outcome:
    try:
        return _superseded(action, made, context, manifest)
    except GreendataError as error:
        return outcome_of(error)


def _after(action: Action, made: Made, context: Context, manifest: str | None) -> dict[str, Any]:
    """What taking it back needs; what the Parquet was made of stands in it."""
    return {
        **made.copy.as_dict(),
        **made.more,
        "step": context.step_id(action),
        "original_sha256": made_from(context.store, context.store.head(made.copy.uri)),
        **({"manifest": manifest} if manifest else {}),
    }


def _superseded(action: Action, made: Made, context: Context, manifest: str | None) -> Outcome:
    """The original goes; without a manifest that names the new object, that goes if it cannot."""
    new = made.copy
    drop_staged(context.store, staging_uri(context, action.uri, context.step_id(action)))
    after = _after(action, made, context, manifest)
    item = context.store.head(new.uri)
    if not new.moved_bytes and sha256_of(context.store, item) != new.sha256:  # of an earlier try
        words = f"{new.uri}: is not the object that was made; {action.uri} stays."
        return replace(skipped("no-survivor", words), after=after)
    found = supersede(action, new, context)
    if found.status is Status.SKIPPED and manifest is None:
        there = found_at(context.store, new.uri)
        if there is not None and there.item.etag == new.etag:
            withdraw(there, context)
        return found
    return replace(found, after={**after, **found.after}, moved_bytes=new.moved_bytes)
