"""A store that nothing can change."""

from __future__ import annotations

from typing import Any

from greendata.errors import DeniedError
from greendata.stores.wrappers.base import Call, StoreWrapper


class ReadOnlyStore(StoreWrapper):
    """Refuses every mutation; what only plans is handed one of these."""

    def _around(self, call: Call) -> Any:
        if call.is_mutation:
            raise DeniedError(f"{call.uri}: this part of the program only reads ({call.name}).")
        return call.make()
