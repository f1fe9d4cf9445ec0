"""The strict store behind a process of its own, which survives whatever happens to its clients."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

from greendata.model import StoredObject
from greendata.stores.memory import MemoryStore
from greendata.stores.wrappers.base import StoreWrapper

_LISTS = frozenset({"list", "list_folder", "versions", "own_objects", "uploads"})


def _serve(address: str, keeps_versions: bool) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    made = {"store": MemoryStore(keeps_versions=keeps_versions)}
    begin = itertools.count(1000, 1000)
    with Listener(address, "AF_UNIX", backlog=64) as listener:
        while True:
            threading.Thread(
                target=_answer, args=(listener.accept(), made, begin), daemon=True
            ).start()


def _answer(connection: Connection, made: dict[str, MemoryStore], begin: Iterator[int]) -> None:
    with suppress(EOFError, OSError):
        while True:
            name, arguments, named = connection.recv()
            try:
                if name == "_state":
                    answer: Any = made["store"]._versions, made["store"]._uploads
                elif name == "_load":
                    made["store"] = MemoryStore(keeps_versions=made["store"]._keeps_versions)
                    made["store"]._versions, made["store"]._uploads = arguments
                    made["store"]._numbers = itertools.count(next(begin))  # none comes twice
                    answer = None
                else:
                    answer = getattr(made["store"], name)(*arguments, **named)
                connection.send((True, list(answer) if name in _LISTS else answer))
            except Exception as error:
                connection.send((False, error))


class _Asking:
    """Sends every call to the server; a connection a thread and process."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._local = threading.local()

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments, **named: self._ask(name, arguments, named)

    def _ask(self, name: str, arguments: Any, named: Any) -> Any:
        if getattr(self._local, "pid", None) != os.getpid():
            self._local.connection = Client(self._address, "AF_UNIX")
            self._local.pid = os.getpid()
        self._local.connection.send((name, arguments, named))
        is_answer, value = self._local.connection.recv()
        if not is_answer:
            raise value
        return value


class RemoteStore(StoreWrapper):
    """A client of the strict store."""

    def __init__(self, address: str) -> None:
        super().__init__(_Asking(address))  # type: ignore[arg-type]

    @property
    def store_id(self) -> str:  # type: ignore[override]
        return "mem"

    @property
    def capabilities(self) -> Any:  # type: ignore[override]
        return MemoryStore.capabilities

    def open(self, item: StoredObject) -> Any:
        import pyarrow as pa

        return pa.BufferReader(self.read(item.uri, etag=item.etag))

    def state(self) -> Any:
        """All versions and uploads, to be loaded again."""
        return self.inner._state()  # type: ignore[attr-defined]

    def load(self, state: Any) -> None:
        """Begin from a state that was kept."""
        self.inner._load(*state)  # type: ignore[attr-defined]


@contextmanager
def strict_server(folder: Path, *, keeps_versions: bool) -> Iterator[RemoteStore]:
    """A server that lasts as long as the block, and a client of it."""
    address = str(folder / f"store-{keeps_versions}")
    process = multiprocessing.get_context("fork").Process(
        target=_serve, args=(address, keeps_versions), daemon=True
    )
    process.start()
    while not os.path.exists(address):
        pass
    try:
        yield RemoteStore(address)
    finally:
        process.kill()
        process.join()
