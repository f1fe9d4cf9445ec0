"""One handler a kind of action."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from greendata.errors import UnsupportedError

if TYPE_CHECKING:
    from greendata.execute.handlers.base import Handler
    from greendata.execute.handlers.recompress import Rewrite, Rewritten
    from greendata.execute.records import Action
    from greendata.execute.together import ManifestOf
    from greendata.model import StoredObject


def no_manifest(action: Action) -> str | None:
    """No dataset has one."""
    return None


def no_rewriting(item: StoredObject, profile: str, folder: Path) -> Rewritten:
    """Undoing and purging write nothing again."""
    raise UnsupportedError(f"{item.uri}: nothing was given to write it with.")


def all_handlers(
    *, manifest_of: ManifestOf = no_manifest, rewrite: Rewrite = no_rewriting
) -> dict[str, Handler]:
    """Handlers by the kinds of action they carry out.

    ``manifest_of`` gives the URI of the manifest of the dataset that an action's object is in;
    ``rewrite`` is what recompressing writes with.
    """
    from greendata.execute.handlers.labels import HoldHandler, TagHandler
    from greendata.execute.handlers.recompress import RecompressHandler
    from greendata.execute.handlers.relocate import RelocateHandler
    from greendata.execute.handlers.removal import RemovalHandler
    from greendata.execute.handlers.restore import RestoreHandler
    from greendata.execute.handlers.returning import (
        BringBackHandler,
        LeftAloneHandler,
        UntierHandler,
    )
    from greendata.execute.handlers.tier import TierHandler
    from greendata.execute.handlers.uploads import UploadsHandler

    made: tuple[Handler, ...] = (
        TagHandler(), HoldHandler(), RestoreHandler(), TierHandler(), RelocateHandler(manifest_of),
        RecompressHandler(rewrite, manifest_of), RemovalHandler(), UploadsHandler(),
        BringBackHandler(), UntierHandler(), LeftAloneHandler(),
    )  # fmt: skip
    return {kind: handler for handler in made for kind in handler.kinds}
