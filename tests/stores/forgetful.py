"""A server between honest and lying, as there are some."""

from __future__ import annotations

from typing import Any

from greendata.stores.records import ALWAYS, IF_ABSENT, Condition, Written
from greendata.stores.wrappers.base import StoreWrapper


class ForgetsIfMatch(StoreWrapper):
    """Creates only where nothing is, if asked to; but replaces whatever the ETag is."""

    def put(
        self, uri: str, content: bytes, *, condition: Condition = ALWAYS, **more: Any
    ) -> Written:
        kept = condition if condition == IF_ABSENT else ALWAYS
        return self.inner.put(uri, content, condition=kept, **more)
