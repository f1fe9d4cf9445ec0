"""One owner at a time: alive, dead, stopped, an hour off, or lied to."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from greendata.errors import (
    LeaseLostError,
    LockedError,
    StoreUnreachableError,
    UnsupportedError,
    UsageError,
)
from greendata.execute.lease import FencedStore, Leases
from greendata.execute.processes import is_dead, seconds_since_boot, this_process
from greendata.model import StoredObject
from greendata.stores.base import Store
from greendata.stores.local import LocalStore, path_to_uri
from greendata.stores.memory import MemoryStore
from greendata.stores.records import ALWAYS, NOTHING_BESIDE, Condition, Properties, Written
from greendata.stores.wrappers import FaultyStore, LiarStore, RetryingStore
from greendata.stores.wrappers.base import StoreWrapper
from tests.stores.forgetful import ForgetsIfMatch

ROOT = "mem://b/"
LEASE = ROOT + ".greendata/lease"
SHORT_SECONDS = 1.0


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.seconds = seconds_since_boot()

    def __call__(self) -> float:
        return self.seconds


class ElsewhereStore(StoreWrapper):
    """A store whose clock is ``offset`` away from this machine's."""

    def __init__(self, inner: Store, offset: timedelta) -> None:
        super().__init__(inner)
        self.offset = offset

    def head(self, uri: str) -> StoredObject:
        item = self.inner.head(uri)
        return dataclasses.replace(item, modified_at=item.modified_at + self.offset)


def lease_of(store: Store, uri: str = LEASE) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(store.read(uri))
    return found


def change(store: Store, **values: Any) -> None:
    store.put(LEASE, json.dumps(lease_of(store) | values).encode())


def leases(store: Store, **options: Any) -> Leases:
    defaults: dict[str, Any] = {"run_id": "cd-1", "ttl_seconds": 60.0}
    return Leases(store, [ROOT], **(defaults | options))


def left_by(store: Store, **values: Any) -> None:
    """A lease that another machine never gave back."""
    with leases(store, run_id="ab-1"):
        content = lease_of(store)
    elsewhere = {"boot_id": "another", "host": "node7", "owner": "ada", "pid": 4242}
    store.put(LEASE, json.dumps(content | elsewhere | values).encode())


def test_a_live_lease_refuses_others_and_names_its_owner() -> None:
    store = MemoryStore()
    left_by(store)
    with pytest.raises(LockedError) as caught, leases(store):
        pass
    assert caught.value.exit_code == 40
    for words in ("mem://b/", "run ab-1", "ada", "node7", "4242", "since 20"):
        assert words in caught.value.message
    assert "--break-lease" in str(caught.value.hint)
    assert lease_of(store)["run"] == "ab-1"


def test_two_in_one_process_refuse_each_other() -> None:
    store = MemoryStore()
    with leases(store), pytest.raises(LockedError), leases(store):
        pass


def test_a_lease_given_back_is_free_and_keeps_its_epoch() -> None:
    store = MemoryStore()
    for epoch in (1, 2, 3):
        with leases(store) as held:
            assert held.epoch == epoch
        assert lease_of(store)["is_released"]
        assert lease_of(store)["epoch"] == epoch


def test_the_epoch_is_later_than_any_that_the_journals_have() -> None:
    with leases(MemoryStore(), after_epoch=7) as held:
        assert held.epoch == 8


def test_break_lease_takes_over_a_live_one_and_the_owner_stops() -> None:
    store = MemoryStore()
    with leases(store, ttl_seconds=SHORT_SECONDS) as first:
        with leases(store, is_broken=True) as second:
            assert second.epoch == first.epoch + 1
            wait_for(lambda: first.is_lost)
            with pytest.raises(LeaseLostError, match=r"run cd-1 of .* taken over"):
                first.check(ROOT + "x", 0)
            second.check(ROOT + "x", 10)
        assert lease_of(store)["epoch"] == 2
    assert lease_of(store)["is_released"]


@pytest.mark.parametrize("hours", [-1, 1])
def test_it_is_over_by_the_stores_clock_whatever_ours_says(hours: int) -> None:
    inner = MemoryStore()
    store = ElsewhereStore(inner, timedelta(hours=hours))
    left_by(store, ttl_seconds=0.1)
    with pytest.raises(LockedError), leases(store):
        pass
    time.sleep(1.2)
    with leases(store) as held:
        assert held.epoch == 2
    assert [item.uri for item in inner.own_objects(ROOT)] == [LEASE]


def test_on_the_machine_that_wrote_it_the_time_since_its_start_decides() -> None:
    store = ElsewhereStore(MemoryStore(), timedelta(hours=1))
    left_by(store, **this_process())
    clock = Clock()
    clock.seconds += 60
    with pytest.raises(LockedError), leases(store, clock=clock):
        pass
    clock.seconds += 10
    with leases(store, clock=clock) as held:
        assert held.epoch == 2


def test_a_dead_process_of_this_machine_is_replaced_at_once(tmp_path: Path) -> None:
    root = path_to_uri(str(tmp_path)) + "/"
    with holder(root, 3600) as process:
        with pytest.raises(LockedError, match=str(process.pid)):
            Leases(LocalStore(), [root], run_id="cd-1").__enter__()
        process.kill()
        process.wait()
    with Leases(LocalStore(), [root], run_id="cd-1") as held:
        assert held.epoch == 2


def test_a_stopped_process_changes_nothing_after_its_time(tmp_path: Path) -> None:
    root = path_to_uri(str(tmp_path)) + "/"
    with holder(root, SHORT_SECONDS) as process:
        assert ask(process, "before") == "written"
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(SHORT_SECONDS * 1.1 + 1.1)
        with Leases(LocalStore(), [root], run_id="cd-1") as held:
            assert held.epoch == 2
            os.kill(process.pid, signal.SIGCONT)
            assert ask(process, "after") == "LeaseLostError"
            time.sleep(SHORT_SECONDS)
            assert ask(process, "much later") == "LeaseLostError"
            held.check(root + "x", 1)
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(30) == 0
            assert lease_of(LocalStore(), root + ".greendata/lease")["epoch"] == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == [".greendata", "before"]


def test_a_process_of_another_container_is_never_taken_for_dead() -> None:
    dead = this_process() | {"pid": 2**22 + 1}
    assert is_dead(dead)
    assert not is_dead(dead | {"pid_namespace": "pid:[1]"})
    assert not is_dead(dead | {"boot_id": "another"})
    assert not is_dead(this_process())
    assert is_dead(this_process() | {"process_started": 1})
    assert not is_dead({"pid": 1})


def test_a_renewal_that_fails_leaves_the_time_that_is_left() -> None:
    clock = Clock()
    store = FaultyStore(MemoryStore(), "ok ok ok 503*999", only=["put"])
    with leases(store, ttl_seconds=SHORT_SECONDS, clock=clock) as held:
        time.sleep(SHORT_SECONDS)
        held.check(ROOT + "x", SHORT_SECONDS / 2)
        clock.seconds += SHORT_SECONDS * 0.8
        with pytest.raises(LeaseLostError, match="could not be renewed"):
            held.check(ROOT + "x", SHORT_SECONDS / 2)
        assert not held.is_lost
    assert not lease_of(store)["is_released"]


def test_renewals_go_on_and_carry_what_is_noted_for_the_next_owner() -> None:
    store = MemoryStore()
    with leases(store, ttl_seconds=SHORT_SECONDS) as held:
        first = lease_of(store)
        held.note("apply", "00000001-00000009")
        wait_for(lambda: lease_of(store)["notes"] == {"apply": "00000001-00000009"})
        assert lease_of(store)["renewed_at_boot_seconds"] > first["renewed_at_boot_seconds"]
        time.sleep(SHORT_SECONDS * 2)
        held.check(ROOT + "x", 0)
    with leases(store) as same_run:
        assert same_run.noted_before == {"apply": "00000001-00000009"}
    with leases(store, run_id="ef-1") as other_run:
        assert other_run.noted_before == {}


@pytest.mark.parametrize("is_retried", [True, False])
def test_answers_that_are_lost_make_no_second_owner(is_retried: bool) -> None:
    inner = MemoryStore()
    store: Store = FaultyStore(inner, "lost ok ok lost ok lost", only=["put"])
    if is_retried:
        store = RetryingStore(store, sleep=lambda seconds: None)
    with leases(store, ttl_seconds=SHORT_SECONDS) as held:
        time.sleep(SHORT_SECONDS)
        held.check(ROOT + "x", 0)
        assert (held.epoch, held.is_lost) == (1, False)
    assert lease_of(inner)["is_released"]


@pytest.mark.parametrize(
    "content",
    [b"", b"?", b"[]", b"{}", b'{"version": 2}', b"\xff\x00", b"[" * 100_000],
    ids=["empty", "text", "list", "nothing", "newer", "bytes", "deep"],
)
def test_a_lease_that_is_garbage_is_only_replaced_by_order(content: bytes) -> None:
    store = MemoryStore()
    store.put(LEASE, content)
    with pytest.raises(LockedError, match="no lease that this program can read"), leases(store):
        pass
    assert store.read(LEASE) == content
    with leases(store, is_broken=True, after_epoch=4) as held:
        assert held.epoch == 5


@pytest.mark.parametrize(
    "values",
    [
        {"epoch": 10**12},
        {"epoch": -1},
        {"epoch": "1"},
        {"ttl_seconds": float("nan")},
        {"ttl_seconds": 1e300},
        {"is_released": "no"},
        {"notes": []},
    ],
    ids=str,
)
def test_a_lease_with_impossible_values_is_garbage(values: dict[str, Any]) -> None:
    store = MemoryStore()
    left_by(store, **values)
    with pytest.raises(LockedError, match="no lease that this program can read"), leases(store):
        pass


def test_a_store_that_ignores_conditions_is_refused_unless_nobody_else_writes() -> None:
    inner = MemoryStore()
    with pytest.raises(UnsupportedError, match="create-only") as caught, leases(LiarStore(inner)):
        pass
    assert caught.value.exit_code == 33
    assert lease_of(inner)["is_released"]
    with leases(LiarStore(inner), exclusive_roots=[ROOT]) as held:
        assert held.epoch == 2


def test_a_store_that_takes_any_etag_is_refused_before_anything_else_is_written() -> None:
    inner = MemoryStore()
    store = ForgetsIfMatch(inner)
    with pytest.raises(UnsupportedError, match="another ETag") as caught, leases(store):
        pass
    assert caught.value.exit_code == 33
    assert lease_of(inner)["is_released"]
    with leases(ForgetsIfMatch(inner), exclusive_roots=[ROOT]) as held:
        assert held.epoch == 2


def test_on_a_store_that_lies_the_one_that_was_overwritten_finds_out() -> None:
    inner = MemoryStore()
    liar = LiarStore(inner)
    options: dict[str, Any] = {"exclusive_roots": [ROOT], "ttl_seconds": SHORT_SECONDS}
    with leases(liar, **options) as first, leases(liar, is_broken=True, **options) as second:
        wait_for(lambda: first.is_lost)
        time.sleep(SHORT_SECONDS)
        assert not second.is_lost


def test_one_who_was_faster_between_the_look_and_the_write_has_it() -> None:
    class Racing(StoreWrapper):
        def put(
            self,
            uri: str,
            content: bytes,
            *,
            condition: Condition = ALWAYS,
            properties: Properties = NOTHING_BESIDE,
        ) -> Written:
            if "ab-1" not in str(rival):
                rival.append("ab-1")
                left_by(inner)
            return super().put(uri, content, condition=condition, properties=properties)

    inner = MemoryStore()
    rival: list[str] = []
    with pytest.raises(LockedError, match="run ab-1"), leases(Racing(inner)):
        pass


def test_a_fence_lets_reads_through_and_no_change_that_no_lease_covers() -> None:
    store = MemoryStore()
    store.put("mem://c/x", b"1")
    with leases(store) as held:
        fenced = FencedStore(store, held, call_timeout_seconds=1)
        assert fenced.read("mem://c/x") == b"1"
        with pytest.raises(LeaseLostError, match="no lease"):
            fenced.delete("mem://c/x")
        fenced.put("mem://b/x", b"2")
        fenced.copy("mem://c/x", "mem://b/y")
        with pytest.raises(LeaseLostError):
            fenced.copy("mem://b/x", "mem://c/z")


def test_a_call_that_may_outlast_the_lease_is_a_mistake_of_the_settings() -> None:
    with leases(MemoryStore(), ttl_seconds=60) as held, pytest.raises(UsageError, match="30 s"):
        FencedStore(MemoryStore(), held, call_timeout_seconds=31)


def test_several_roots_are_had_together_or_not_at_all() -> None:
    store = MemoryStore()
    left_by(store)
    roots = ["mem://a/", ROOT, "mem://c/"]
    with pytest.raises(LockedError), Leases(store, roots, run_id="cd-1"):
        pass
    assert lease_of(store, "mem://a/.greendata/lease")["is_released"]
    change(store, is_released=True)
    with Leases(store, roots, run_id="cd-1") as held:
        assert held.epoch == 2
        for root in roots:
            held.check(root + "x", 1)


def test_a_store_that_is_gone_says_so() -> None:
    with pytest.raises(StoreUnreachableError), leases(FaultyStore(MemoryStore(), "503*99")):
        pass


def test_buckets_and_containers_have_leases(bucket: str, container: str) -> None:
    from greendata.stores.opening import Stores

    for root in (f"s3://{bucket}/", f"az://{container}/"):
        store = Stores()
        with Leases(store, [root], run_id="ab-1") as held:
            with pytest.raises(LockedError), Leases(store, [root], run_id="cd-1"):
                pass
            FencedStore(store, held, call_timeout_seconds=1).put(root + "x", b"1")
            uri = root + ".greendata/lease"
            elsewhere = lease_of(store, uri) | {"boot_id": "another", "ttl_seconds": 0.1}
            store.put(uri, json.dumps(elsewhere).encode())
        assert lease_of(store, uri)["is_released"]
        store.put(uri, json.dumps(elsewhere).encode())
        time.sleep(2.2)
        with Leases(store, [root], run_id="cd-1") as held:
            assert held.epoch == 2


@contextmanager
def holder(root: str, ttl_seconds: float) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.execute.lease_holder", root, str(ttl_seconds)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held 1\n"
            yield process
        finally:
            process.kill()


def ask(process: subprocess.Popen[str], line: str) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come")
