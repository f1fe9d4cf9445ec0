"""``abort_uploads``: multipart uploads that nobody completed; their parts are billed until then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from greendata.execute.handlers.base import CannotUndo, Context, Handler
from greendata.execute.records import Action, Outcome, done, failed, skipped


class UploadsHandler(Handler):
    """Aborts exactly the upload that was planned. Nothing brings its parts back."""

    kinds: ClassVar[frozenset[str]] = frozenset({"abort_uploads"})

    def act(
        self, action: Action, before: Mapping[str, Any], context: Context, *, is_resumed: bool
    ) -> Outcome:
        upload_id = str(action.to["upload_id"])
        if not _is_open(action.uri, upload_id, context):
            if is_resumed:
                return done()
            return skipped("gone", f"{action.uri}: the upload was completed or aborted.")
        context.store.abort_upload(action.uri, upload_id)
        if _is_open(action.uri, upload_id, context):
            return failed("damaged", f"{action.uri}: the upload is still open.")
        return done()

    def inverse(
        self, action: Action, before: Mapping[str, Any], outcome: Outcome
    ) -> Action | CannotUndo:
        return CannotUndo(words="the parts of an upload do not come back")


def _is_open(uri: str, upload_id: str, context: Context) -> bool:
    return any(
        upload.upload_id == upload_id and upload.uri == uri for upload in context.store.uploads(uri)
    )
