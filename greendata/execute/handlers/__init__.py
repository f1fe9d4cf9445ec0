"""One handler a kind of action."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from greendata.execute.handlers.base import Handler


def all_handlers() -> dict[str, Handler]:
    """Handlers by the kinds of action they carry out."""
    from greendata.execute.handlers.labels import HoldHandler, TagHandler
    from greendata.execute.handlers.removal import RemovalHandler
    from greendata.execute.handlers.tier import TierHandler
    from greendata.execute.handlers.uploads import UploadsHandler

    made: tuple[Handler, ...] = (
        TagHandler(), HoldHandler(), TierHandler(), RemovalHandler(), UploadsHandler(),
    )  # fmt: skip
    return {kind: handler for handler in made for kind in handler.kinds}
