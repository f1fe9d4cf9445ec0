"""A store that counts what is asked of it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from greendata.stores.base import Store
from greendata.stores.wrappers.base import Call, StoreWrapper

Price = Callable[[str, str, int], Decimal]
"""``price(name, uri, size_bytes)``: USD of one call and of the bytes it moved."""


PAGE_ENTRIES = 1000

_LISTINGS = frozenset({"list", "list_folder", "versions", "uploads", "own_objects"})


@dataclass(slots=True, kw_only=True)
class Usage:
    """Calls by name, bytes moved, and USD at list price.

    ``read_bytes`` are those of ``read``; files from ``open`` fetch on their own and are counted by
    the size of their object, once.
    """

    calls: Counter[str] = field(default_factory=Counter)
    read_bytes: int = 0
    written_bytes: int = 0
    cost_usd: Decimal = Decimal(0)


class MeteredStore(StoreWrapper):
    """Counts calls, also those that fail; safe to share between threads.

    A listing counts once for each of its pages, as far as it is read: S3's hold 1,000 entries.
    """

    def __init__(self, inner: Store, price: Price | None = None) -> None:
        super().__init__(inner)
        self.usage = Usage()
        self._price = price
        self._lock = threading.Lock()

    def _around(self, call: Call) -> Any:
        moved = len(call.content or b"")
        found: Any = None
        try:
            found = call.make()
            if call.name == "read":
                moved = len(found)
            elif call.name == "open":
                moved = int(found.size())
        finally:
            self._count(call, moved)
        return self._pages(call, found) if call.name in _LISTINGS else found

    def _pages(self, call: Call, found: Iterator[Any]) -> Iterator[Any]:
        for number, entry in enumerate(found, start=1):
            if number > PAGE_ENTRIES and number % PAGE_ENTRIES == 1:
                self._count(call, 0)
            yield entry

    def _count(self, call: Call, moved: int) -> None:
        with self._lock:
            self.usage.calls[call.name] += 1
            if call.is_mutation:
                self.usage.written_bytes += moved
            else:
                self.usage.read_bytes += moved
            if self._price is not None:
                self.usage.cost_usd += self._price(call.name, call.uri, moved)
