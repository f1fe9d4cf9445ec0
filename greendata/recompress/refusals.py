"""Why a source is left as it is, in one word each."""

from __future__ import annotations

from enum import StrEnum

from greendata.errors import UnreadableShardError


class RefusalReason(StrEnum):
    """What is wrong with a source, or what the program cannot keep of it."""

    TRUNCATED = "truncated"
    NOT_JSON_LINES = "not-json-lines"
    DUPLICATE_KEYS = "duplicate-keys"
    INVALID_UTF8 = "invalid-utf8"
    RECORD_TOO_LARGE = "record-too-large"
    TOO_MANY_NAMES = "too-many-names"
    BROKEN_QUOTES = "broken-quotes"
    RAGGED_ROWS = "ragged-rows"
    DUPLICATE_COLUMNS = "duplicate-columns"
    UNSUPPORTED_NAME = "unsupported-name"
    NO_ROWS = "no-rows"
    NO_COLUMNS = "no-columns"
    RESERVED_COLUMN = "reserved-column"
    UNSUPPORTED_TYPE = "unsupported-type"
    ENCRYPTED = "encrypted"
    OUT_OF_RANGE = "out-of-range"
    NOT_RESTORABLE = "not-restorable"


class RefusedSourceError(UnreadableShardError):
    """A source whose rows cannot be kept exactly; it stays where and as it is.

    ``row`` is the zero-based record where that shows, if it shows at one.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: RefusalReason,
        row: int | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason
        self.row = row

    def at(self, uri: str) -> RefusedSourceError:
        """The same, said of an object."""
        return RefusedSourceError(
            f"{uri}: {self.message}", reason=self.reason, row=self.row, hint=self.hint
        )
