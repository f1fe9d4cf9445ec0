from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from greendata.execute.handlers.base import CannotUndo, Context
from greendata.execute.handlers.restore import RestoreHandler, restore_hours
from greendata.execute.records import Action, Outcome, Status
from greendata.stores.azure import AzureSettings, AzureStore
from greendata.stores.base import Store
from greendata.stores.local import LocalStore, path_to_uri
from greendata.stores.memory import MemoryStore
from greendata.stores.records import ObjectDetails, Properties
from greendata.stores.s3 import S3Store
from greendata.stores.wrappers.base import StoreWrapper
from tests.execute.handlers.made_places import action_on, carry_out, context_of
from tests.stores.servers import ACCOUNT

ROOT = "mem://a/"
HANDLER = RestoreHandler()


class SlowStore(StoreWrapper):
    """Takes its time to restore; ``state`` is what it says of everything."""

    state: str | None = None
    asked = 0

    def restore(self, uri: str, **options: Any) -> None:
        self.asked += 1
        self.state = "pending"

    def details(self, uri: str, *, version_id: str | None = None) -> ObjectDetails:
        found = self.inner.details(uri, version_id=version_id)
        is_archived = found.is_archived and self.state != "restored"
        return replace(found, is_archived=is_archived, restore_state=self.state)


def archived(store: Store, uri: str = f"{ROOT}x") -> Action:
    store.put(uri, b"cold", properties=Properties(storage_class="ARCHIVE"))
    return action_on("restore", store.head(uri), {"days": 7})


def later(store: Store, hours: float) -> Context:
    return context_of(store, [ROOT], later=timedelta(hours=hours))


def settle(action: Action, pending: Outcome, context: Context) -> Outcome:
    return HANDLER.settle(action, before(action, context), pending, context)


def before(action: Action, context: Context) -> dict[str, Any]:
    return {"was_readable": False, "storage_class": "ARCHIVE"}


def test_it_waits_until_the_store_says_that_it_is_readable() -> None:
    store = SlowStore(MemoryStore())
    action = archived(store)
    (found,) = carry_out(HANDLER, [action], later(store, 0))
    assert (found.status, found.reason, store.asked) == (Status.PENDING, "waiting", 1)
    assert found.due_at is not None
    assert settle(action, found, later(store, 1)) is found
    again = settle(action, found, later(store, 13))
    assert again.status is Status.PENDING
    assert again.due_at is not None
    assert again.due_at > found.due_at
    store.state = "restored"
    assert settle(action, again, later(store, 15)).status is Status.DONE
    assert store.asked == 1


def test_it_is_not_asked_for_twice_by_a_run_that_was_killed() -> None:
    store = SlowStore(MemoryStore())
    action = archived(store)
    carry_out(HANDLER, [action], later(store, 0))
    (found,) = carry_out(HANDLER, [action], later(store, 0), is_resumed=True)
    assert (found.status, store.asked) == (Status.PENDING, 1)


def test_days_that_are_over_before_anybody_looked_are_not_paid_again() -> None:
    store = SlowStore(MemoryStore())
    action = archived(store)
    (found,) = carry_out(HANDLER, [action], later(store, 0))
    store.state = None
    late = settle(action, found, later(store, 24 * 9))
    assert (late.status, store.asked) == (Status.DONE, 1)
    assert "over" in late.detail
    assert settle(action, found, later(store, 24)).status is Status.PENDING
    assert store.asked == 2


def test_what_was_readable_is_left_alone_and_another_object_too() -> None:
    store = SlowStore(MemoryStore())
    store.put(f"{ROOT}x", b"warm")
    action = action_on("restore", store.head(f"{ROOT}x"), {"days": 7})
    (found,) = carry_out(HANDLER, [action], later(store, 0))
    assert (found.status, store.asked) == (Status.DONE, 0)
    store.put(f"{ROOT}x", b"other", properties=Properties(storage_class="ARCHIVE"))
    (found,) = carry_out(HANDLER, [action], later(store, 0))
    assert (found.status, found.reason, store.asked) == (Status.SKIPPED, "changed", 0)


def test_local_files_have_no_archive(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    root = path_to_uri(str(tmp_path)) + "/"
    action = action_on("restore", LocalStore().head(f"{root}x"), {"days": 1})
    (found,) = carry_out(HANDLER, [action], context_of(LocalStore(), [root]))
    assert found.status is Status.DONE  # readable as it is


def test_hours_are_those_of_the_providers() -> None:
    assert restore_hours("s3://b/k", "GLACIER") == 5
    assert restore_hours("s3://b/k", "DEEP_ARCHIVE") == 12
    assert restore_hours("az://c@a/k", "Archive") == 15
    assert restore_hours("s3://b/k", "INTELLIGENT_TIERING") == 12


def test_s3_gives_a_readable_copy_that_ends_by_itself(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="x", Body=b"cold", StorageClass="GLACIER")
    store, root = S3Store(), f"s3://{bucket}/"
    action = action_on("restore", store.head(f"{root}x"), {"days": 2})
    context = context_of(store, [root])
    (found,) = carry_out(HANDLER, [action], context)
    assert found.status in (Status.DONE, Status.PENDING)
    known = HANDLER.prepare(action, context)
    done = HANDLER.settle(action, known, replace(found, due_at=context.now()), context)
    assert done.status is Status.DONE
    assert store.read(f"{root}x") == b"cold"
    undone = HANDLER.inverse(action, {"was_readable": False}, done)
    assert isinstance(undone, CannotUndo)
    assert "after 2 days" in undone.words


def test_azure_moves_the_blob_and_undo_moves_it_back(container: str, azure_connection: str) -> None:
    store, root = AzureStore(AzureSettings(account=ACCOUNT)), f"az://{container}/"
    store.put(f"{root}x", b"cold", properties=Properties(storage_class="Archive"))
    action = action_on("restore", store.head(f"{root}x"), {"days": 2})
    context = context_of(store, [root])
    known = HANDLER.prepare(action, context)
    found = HANDLER.act(action, known, context, is_resumed=False)
    if found.status is Status.PENDING:
        assert isinstance(HANDLER.inverse(action, known, found), CannotUndo)
        found = HANDLER.settle(action, known, replace(found, due_at=context.now()), context)
    assert found.status is Status.DONE
    assert store.read(f"{root}x") == b"cold"
    back = HANDLER.inverse(action, known, found)
    assert isinstance(back, Action)
    assert (back.kind, back.to["storage_class"]) == ("tier", "Archive")
    priced = HANDLER.inverse(replace(action, source={}), known, found)
    assert isinstance(priced, Action)
    assert priced.fees_usd is not None
    assert priced.fees_usd > 0
