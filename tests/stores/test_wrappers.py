from __future__ import annotations

import signal
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from greendata.errors import (
    DeniedError,
    PreconditionFailedError,
    StoreUnreachableError,
    UsageError,
)
from greendata.jobs.doctor import Verdict, diagnose
from greendata.progress import Progress
from greendata.stores.base import Store
from greendata.stores.local import path_to_uri
from greendata.stores.memory import MemoryStore
from greendata.stores.opening import Stores, watched
from greendata.stores.records import IF_ABSENT, Condition
from greendata.stores.wrappers import (
    FaultyStore,
    LiarStore,
    MeteredStore,
    ReadOnlyStore,
    RetryingStore,
    RetrySettings,
)
from tests.stores.contract import StoreContract

A = "mem://b/a"
AT = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.mark.parametrize("kind", ["metered", "faulty", "retrying"])
class TestWrappedStore(StoreContract):
    @pytest.fixture
    def store(self, kind: str) -> Store:
        inner = MemoryStore()
        if kind == "metered":
            return MeteredStore(inner)
        return FaultyStore(inner, "ok*3") if kind == "faulty" else RetryingStore(inner)

    @pytest.fixture
    def root(self) -> str:
        return "mem://bucket/place/"


def test_a_read_only_store_refuses_every_change() -> None:
    inner = MemoryStore()
    inner.put(A, b"one")
    store = ReadOnlyStore(inner)
    assert store.read(A) == b"one"
    changes = (
        lambda: store.put(A, b"two"),
        lambda: store.delete(A),
        lambda: store.copy(A, "mem://b/c"),
        lambda: store.set_tier(A, "COOL"),
        lambda: store.set_tags(A, {}),
        lambda: store.set_hold(A, is_held=True),
        lambda: store.restore(A, days=1),
        lambda: store.start_upload(A),
        lambda: store.abort_upload(A, "x"),
    )
    for change in changes:
        with pytest.raises(DeniedError, match="only reads"):
            change()
    assert inner.read(A) == b"one"


def test_a_metered_store_counts_calls_bytes_and_money() -> None:
    store = MeteredStore(MemoryStore(), price=lambda name, uri, size: Decimal(size) / 100)
    store.put(A, b"12345")
    store.read(A, size_bytes=3)
    with pytest.raises(PreconditionFailedError):
        store.put(A, b"", condition=IF_ABSENT)
    assert store.usage.calls == {"put": 2, "read": 1}
    assert (store.usage.written_bytes, store.usage.read_bytes) == (5, 3)
    assert store.usage.cost_usd == Decimal("0.08")


@pytest.mark.parametrize("step", ["503", "429", "409", "hang"])
def test_a_scripted_fault_does_nothing_and_may_be_retried(step: str) -> None:
    inner = MemoryStore()
    store = FaultyStore(inner, f"{step} ok", sleep=lambda seconds: None)
    with pytest.raises(StoreUnreachableError) as caught:
        store.put(A, b"one")
    assert caught.value.is_retryable
    assert list(inner.versions("mem://b")) == []
    store.put(A, b"one")
    assert inner.read(A) == b"one"


def test_a_lost_answer_was_done() -> None:
    inner = MemoryStore()
    with pytest.raises(StoreUnreachableError):
        FaultyStore(inner, "lost").put(A, b"one")
    assert inner.read(A) == b"one"


def test_a_script_counts_the_calls_it_is_for() -> None:
    store = FaultyStore(MemoryStore(), "ok denied", only=["delete"])
    store.put(A, b"one")
    store.delete(A)
    with pytest.raises(DeniedError):
        store.delete(A)
    assert store.calls == ["delete", "delete"]


def test_a_word_that_is_no_fault_is_refused() -> None:
    with pytest.raises(UsageError, match="oops"):
        FaultyStore(MemoryStore(), "ok oops")


@pytest.mark.parametrize(("step", "is_written"), [("kill", False), ("kill-after", True)])
def test_a_scripted_kill_ends_the_process(tmp_path: object, step: str, is_written: bool) -> None:
    code = (
        "from greendata.stores.memory import MemoryStore\n"
        "from greendata.stores.wrappers import FaultyStore\n"
        "class Told(MemoryStore):\n"
        "    def put(self, *a, **k):\n"
        "        print('written', flush=True)\n"
        "        return super().put(*a, **k)\n"
        f"FaultyStore(Told(), '{step}').put('mem://b/a', b'x')\n"
        "print('alive')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == -signal.SIGKILL
    assert done.stdout == ("written\n" if is_written else "")


def retrying(script: str, inner: MemoryStore) -> tuple[RetryingStore, list[float]]:
    waits: list[float] = []
    settings = RetrySettings(attempts=4, base_seconds=1.0, longest_seconds=3.0)
    faulty = FaultyStore(inner, script, only=["put", "delete"])
    return RetryingStore(faulty, settings, sleep=waits.append, draw=lambda: 1.0), waits


def test_passing_faults_are_retried_with_growing_waits() -> None:
    store, waits = retrying("503 429 409 ok", MemoryStore())
    store.put(A, b"one")
    assert waits == [1.0, 2.0, 3.0]


def test_in_the_end_the_error_is_told() -> None:
    store, waits = retrying("503*9", MemoryStore())
    with pytest.raises(StoreUnreachableError):
        store.put(A, b"one")
    assert len(waits) == 3


def test_what_does_not_pass_is_not_retried() -> None:
    store, waits = retrying("denied", MemoryStore())
    with pytest.raises(DeniedError):
        store.put(A, b"one")
    assert waits == []


@pytest.mark.parametrize("content", [b"one", b""])
def test_a_refusal_after_our_own_lost_write_is_success(content: bytes) -> None:
    inner = MemoryStore()
    store, _ = retrying("lost ok", inner)
    written = store.put(A, content, condition=IF_ABSENT)
    assert (inner.read(A), written.etag) == (content, inner.head(A).etag)


def test_a_refusal_because_of_somebody_else_stays_one() -> None:
    inner = MemoryStore()
    first = inner.put(A, b"one")
    store, _ = retrying("503 ok", inner)
    inner.put(A, b"two")
    with pytest.raises(PreconditionFailedError):
        store.put(A, b"six", condition=Condition(etag=first.etag))
    assert inner.read(A) == b"two"


def test_calls_keep_below_the_rate() -> None:
    waits: list[float] = []
    now = [0.0]
    settings = RetrySettings(calls_a_second=10)
    store = RetryingStore(MemoryStore(), settings, sleep=waits.append, clock=lambda: now[0])
    for _ in range(3):
        store.put(A, b"")
    assert waits == pytest.approx([0.1, 0.2])


def test_doctor_trusts_a_strict_store_and_not_a_liar() -> None:
    strict = diagnose(MemoryStore(), "mem://b", now=AT, progress=Progress())
    names = {"IGNORED": {f.name for f in strict.findings if f.verdict is Verdict.IGNORED}}
    assert names["IGNORED"] == set()
    inner = MemoryStore()
    inner.put(A, b"one")
    lying = diagnose(LiarStore(inner), "mem://b", now=AT, progress=Progress())
    ignored = {f.name for f in lying.findings if f.verdict is Verdict.IGNORED}
    assert ignored >= {"read-if-match", "put-if-absent", "put-if-match", "delete-if-match"}
    assert ignored >= {"copy-source-if-match", "race-if-absent", "race-if-match"}
    refused = {action.action for action in lying.actions if not action.is_allowed}
    assert refused == {action.action for action in lying.actions} - {"read"}
    assert [item.uri for item in inner.versions("mem://b")] == [A]


def test_a_listing_counts_once_a_page() -> None:
    inner = MemoryStore()
    for number in range(2001):
        inner.put(f"mem://b/{number:04}", b"")
    metered = MeteredStore(inner)
    assert sum(1 for _ in metered.list("mem://b/")) == 2001
    assert metered.usage.calls["list"] == 3
    next(iter(metered.list("mem://b/")))
    assert metered.usage.calls["list"] == 4


def test_what_is_watched_wraps_every_store_made_meanwhile(tmp_path: Path) -> None:
    seen: list[MeteredStore] = []

    def around(store: Store) -> Store:
        seen.append(MeteredStore(store))
        return seen[-1]

    before = Stores()
    with watched(around):
        inside = Stores()
    (tmp_path / "a").write_bytes(b"12")
    uri = path_to_uri(str(tmp_path / "a"))
    for store in (before, inside, Stores()):
        store.head(uri)
    assert [entry.usage.calls["head"] for entry in seen] == [1]
