"""What waits for purge: where it lies, since when, how long, and what stands for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from greendata.errors import ObjectChangedError
from greendata.execute.records import Survivor

Form = Literal["moved", "version", "marker"]
"""``moved``: an object below ``.greendata/quarantine/``, at ``held_uri``. ``version``: an earlier
version of the object itself, ``held_version_id``, that is hidden or replaced already, or was
noncurrent before. ``marker``: a delete marker that hides nothing."""

QUARANTINE = "quarantine"
"""Folder, below ``.greendata/``, of objects that were moved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """One object version that nothing but ``purge`` removes, and not before ``purge_after``.

    Attributes:
        uri, etag, size_bytes: the object as it was planned; ``etag`` is that of its old place.
        held_uri, held_version_id, held_etag: where its bytes are now.
        marker_version_id: the delete marker that hides a ``version``, if there is one.
        survivors: what stands for it, all of them together; none of what a policy let expire, and
            of what an equal copy in the same place replaced.
        cause: the kind of action.
        is_whole: False where only its texts stand elsewhere: purging it is irreversible.
    """

    form: Form
    uri: str
    store_id: str
    etag: str | None
    size_bytes: int
    held_uri: str
    held_version_id: str | None
    held_etag: str | None
    quarantined_at: datetime
    purge_after: datetime
    cause: str
    policy: str = ""
    marker_version_id: str | None = None
    survivors: tuple[Survivor, ...] = ()
    is_whole: bool = True

    def as_dict(self) -> dict[str, Any]:
        """For the journal: JSON values only."""
        found = {name: getattr(self, name) for name in self.__slots__}
        found["quarantined_at"] = self.quarantined_at.isoformat()
        found["purge_after"] = self.purge_after.isoformat()
        found["survivors"] = [
            {name: getattr(entry, name) for name in entry.__slots__} for entry in self.survivors
        ]
        return {name: value for name, value in found.items() if value not in (None, [])}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Quarantined:
        """What the journal has."""
        values = dict(document)
        for name in ("quarantined_at", "purge_after"):
            values[name] = datetime.fromisoformat(values[name])
        for name in ("etag", "held_etag", "held_version_id"):
            values.setdefault(name, None)
        # journals of before an object could have several
        first = [values.pop("survivor")] if "survivor" in values else []
        values["survivors"] = tuple(Survivor(**entry) for entry in values.get("survivors", first))
        return cls(**values)


class CopyKeptError(ObjectChangedError):
    """The object was replaced while it was moved aside, and nobody can tell whether before or after
    it went by our word: what was copied of it waits for purge, as if it had gone."""

    def __init__(self, message: str, held: Quarantined) -> None:
        super().__init__(message)
        self.held = held
