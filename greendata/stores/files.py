"""Changing files so that nobody sees half of one, and nothing is lost to somebody else's write.

Conditions are exact among processes of this program, which take turns on a lock file. Against other
writers creation is exact (``link`` never replaces), and so is deletion: the file is moved aside
first, looked at, and linked back if it is not the one that was meant. Replacing under a condition
has a gap of microseconds between the look and the move; declare ``exclusive_writer`` or keep
versions of what others write to.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from greendata.errors import ObjectNotFoundError, PreconditionFailedError, UnsupportedError
from greendata.stores.records import Condition

OWN_FOLDER = ".greendata"
LOCK = "write.lock"
"""What processes of this program take turns on; no object."""

_PARTIAL = ".partial"
_REMOVED = ".removed"
_UPLOADS = "uploads"
_TARGET = "target"

EtagOf = Callable[[Path], str | None]
"""The ETag of the file at a path; None where there is none."""


def publish(path: Path, pieces: Iterable[bytes], condition: Condition, etag_of: EtagOf) -> None:
    """Write a file under a name of its own, make it durable, and give it its name at once.

    Raises:
        PreconditionFailedError: what is there is not what ``condition`` says.
        OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = _own_folder(path) / f"{uuid.uuid4().hex}{_PARTIAL}"
    try:
        with aside.open("xb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)  # as long as its writer lives: see sweep
            for piece in pieces:
                stream.write(piece)
            stream.flush()
            os.fsync(stream.fileno())
            with _locked(path):
                if condition.etag is not None:
                    _keep_owner(path, aside)
                _give_name(aside, path, condition, etag_of)
        _sync_folder(path.parent)
    finally:
        aside.unlink(missing_ok=True)


def _keep_owner(path: Path, aside: Path) -> None:
    """What replaces a file belongs to whom the file did, and is as readable."""
    with suppress(OSError):
        status = path.stat()
        aside.chmod(status.st_mode & 0o7777)
        os.chown(aside, status.st_uid, status.st_gid)


def _give_name(aside: Path, path: Path, condition: Condition, etag_of: EtagOf) -> None:
    if condition.is_absent:
        try:
            os.link(aside, path)
        except FileExistsError as error:
            raise PreconditionFailedError(f"{path}: there is a file already.") from error
        return
    if condition.etag is not None and etag_of(path) != condition.etag:
        raise PreconditionFailedError(f"{path}: is not the file that was expected.")
    aside.replace(path)


def remove(path: Path, etag: str | None, etag_of: EtagOf) -> None:
    """Delete a file; with ``etag`` only if it is that one. One that is gone is no error.

    Raises:
        PreconditionFailedError: it is another file; it stays.
        OSError.
    """
    if etag is None:
        path.unlink(missing_ok=True)
        return
    if not path.parent.is_dir():
        return
    aside = _own_folder(path) / f"{uuid.uuid4().hex}{_REMOVED}" / path.name
    with _locked(path):
        if etag_of(path) is None:
            return
        aside.parent.mkdir()
        path.rename(aside)
        is_meant = etag_of(aside) == etag
        if is_meant:
            aside.unlink()
            _sync_folder(path.parent)
        else:
            _put_back(aside, path)
        aside.parent.rmdir()
    if is_meant:
        return
    raise PreconditionFailedError(f"{path}: is not the file that was expected.")


def _put_back(aside: Path, path: Path) -> None:
    with suppress(FileExistsError):  # a newer file has the name: the older one is superseded
        os.link(aside, path)
    aside.unlink()


def sweep(root: Path, *, is_deep: bool) -> None:
    """Clean up after processes that were killed, in our own folders at and below ``root``.

    What was half written goes. What was moved aside to be deleted, nobody knows whether rightly,
    gets its name back unless something newer has it. Not ``is_deep``: in that of ``root`` alone.
    """
    folders = os.walk(root) if is_deep else [(str(root / OWN_FOLDER), [], [])]
    for folder, _, _ in folders:
        place = Path(folder)
        if OWN_FOLDER not in place.parts or not place.is_dir():
            continue
        for path in place.glob(f"*{_PARTIAL}"):
            _drop_dead(path)
        outside = place.parent if place.name == OWN_FOLDER else place
        for held in place.glob(f"*{_REMOVED}/*"):
            with _locked(outside / held.name), suppress(FileNotFoundError):
                _put_back(held, outside / held.name)
        for emptied in place.glob(f"*{_REMOVED}"):
            with suppress(OSError):
                emptied.rmdir()


def _drop_dead(path: Path) -> None:
    """Remove a half written file unless its writer lives, who holds a lock on it."""
    with suppress(FileNotFoundError, BlockingIOError), path.open("rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)


def take_aside(path: Path, target: Path, etag: str | None, etag_of: EtagOf) -> None:
    """Rename a file into one of our own folders, and back if it is not the one expected.

    Raises:
        PreconditionFailedError: it is another file, which stays, or something is at ``target``.
        UnsupportedError: ``target`` is on another file system.
        OSError.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path):
        if target.exists():
            raise PreconditionFailedError(f"{target}: there is a file already.")
        _rename(path, target)
        if etag in (None, etag_of(target)):
            _sync_folder(target.parent)
            _sync_folder(path.parent)
            return
        try:
            os.link(target, path)
        except FileExistsError as error:
            raise PreconditionFailedError(
                f"{path}: was replaced twice; what it was in between is kept as {target}."
            ) from error
        target.unlink()
    raise PreconditionFailedError(f"{path}: is not the file that was expected.")


def give_back(path: Path, target: Path, etag: str | None, etag_of: EtagOf) -> None:
    """Give a file of our own folders a name outside, where none is.

    Raises:
        PreconditionFailedError: it is another file, or something is at ``target``.
        UnsupportedError: ``target`` is on another file system.
        OSError.
    """
    if etag not in (None, etag_of(path)):
        raise PreconditionFailedError(f"{path}: is not the file that was expected.")
    target.parent.mkdir(parents=True, exist_ok=True)
    with _across(path, target):
        try:
            os.link(path, target)
        except FileExistsError as error:
            if not target.samefile(path):  # else an earlier try was killed before its last step
                raise PreconditionFailedError(f"{target}: there is a file already.") from error
    _sync_folder(target.parent)
    path.unlink()
    _sync_folder(path.parent)


def link(path: Path, target: Path, etag: str, condition: Condition, etag_of: EtagOf) -> None:
    """Give a file a second name, where none is or in place of the file that ``condition`` names.

    Raises:
        PreconditionFailedError: it is another file, or of ``condition``.
        UnsupportedError: ``target`` is on another file system.
        OSError.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = _own_folder(target) / f"{uuid.uuid4().hex}{_PARTIAL}"
    try:
        with path.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH)  # as long as this process lives: see sweep
            with _across(path, target):
                os.link(path, aside)
            if etag_of(aside) != etag:
                raise PreconditionFailedError(f"{path}: is not the file that was expected.")
            with _locked(target):
                _give_name(aside, target, condition, etag_of)
        _sync_folder(target.parent)
    finally:
        aside.unlink(missing_ok=True)


def _rename(path: Path, target: Path) -> None:
    with _across(path, target):
        path.rename(target)


@contextmanager
def _across(path: Path, target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        raise UnsupportedError(f"{path}: {target} is on another file system.") from error


def start_upload(path: Path) -> str:
    """A folder for the parts of a file that is written in parts; its id."""
    path.parent.mkdir(parents=True, exist_ok=True)
    upload_id = uuid.uuid4().hex
    folder = _upload_folder(path, upload_id)
    folder.mkdir(parents=True)
    (folder / _TARGET).write_bytes(os.fsencode(path))
    return upload_id


def put_part(path: Path, upload_id: str, number: int, content: bytes) -> None:
    """Keep part ``number``; sent again it replaces.

    Raises:
        ObjectNotFoundError: the upload is not open.
    """
    folder = _upload_folder(path, upload_id)
    aside = folder / f"{uuid.uuid4().hex}.partial"
    try:
        aside.write_bytes(content)
    except FileNotFoundError as error:
        raise ObjectNotFoundError(f"{path}: its upload is not open any more.") from error
    aside.replace(folder / f"{number:06d}")


def parts_of(path: Path, upload_id: str, numbers: Iterable[int]) -> Iterator[bytes]:
    """The contents of parts, in order.

    Raises:
        ObjectNotFoundError: the upload, or a part of it, is not there.
    """
    folder = _upload_folder(path, upload_id)
    for number in sorted(numbers):
        try:
            yield (folder / f"{number:06d}").read_bytes()
        except FileNotFoundError as error:
            raise ObjectNotFoundError(f"{path}: part {number} was never sent.") from error


def drop_upload(path: Path, upload_id: str) -> None:
    """Remove the parts; an upload that is gone is no error."""
    shutil.rmtree(_upload_folder(path, upload_id), ignore_errors=True)


def open_uploads(root: Path) -> Iterator[tuple[Path, str, int]]:
    """Target, id and bytes of every incomplete upload below a folder."""
    for folder, names, _ in os.walk(root):
        if OWN_FOLDER not in names:
            continue
        uploads = Path(folder) / OWN_FOLDER / _UPLOADS
        for upload in sorted(uploads.iterdir()) if uploads.is_dir() else ():
            target = Path(os.fsdecode((upload / _TARGET).read_bytes()))
            parts = [part for part in upload.iterdir() if part.name.isdigit()]
            yield target, upload.name, sum(part.stat().st_size for part in parts)


def _upload_folder(path: Path, upload_id: str) -> Path:
    return path.parent / OWN_FOLDER / _UPLOADS / upload_id


def _own_folder(path: Path) -> Path:
    """A folder on the same file system that no listing shows."""
    parts = path.parent.parts
    is_inside = OWN_FOLDER in parts
    folder = Path(*parts[: parts.index(OWN_FOLDER) + 1]) if is_inside else path.parent / OWN_FOLDER
    folder.mkdir(exist_ok=True)
    return folder


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process of this program at a time among the files of a folder."""
    with (_own_folder(path) / LOCK).open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
