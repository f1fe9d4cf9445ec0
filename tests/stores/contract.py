"""What every store must do; each back end's test class inherits it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from greendata.errors import (
    ObjectArchivedError,
    ObjectChangedError,
    ObjectHeldError,
    ObjectNotFoundError,
    PreconditionFailedError,
)
from greendata.stores.base import Store
from greendata.stores.records import IF_ABSENT, Condition, Properties

WRITERS = 16
WRONG = "0" * 32

ODD_KEYS = (
    "with blank",
    "quotes'\"`",
    "new\nline",
    "tab\tstop",
    "percent%41%zz",
    "plus+and=",
    "question?mark#hash",
    "stars*and[brackets]",
    "semi;colon,comma&amp",
    "<script>alert(1)</script>",
    "emoji-😀-é-中",
    "back\\slash",
    "a" * 200 + "/" + "b" * 200,
)


BESIDE = Properties(
    content_type="text/plain",
    content_encoding="zstd",
    content_language="de",
    content_disposition='attachment; filename="a b.txt"',
    cache_control="max-age=60, private",
    metadata={"owner": "me"},
    tags={"a": "1", "b c": "x/y=z"},
)
"""All that every remote store keeps beside the content."""


class StoreContract:
    """Subclasses give the fixtures ``store`` and ``root`` (an empty place, ending in a slash).

    ``known_to_ignore`` names preconditions that the test's server, not the back end, is known to
    ignore; the strict store proves those behaviours.
    """

    known_to_ignore: frozenset[str] = frozenset()
    cool_class = "COOL"
    archive_class = "ARCHIVE"
    unfit_keys: frozenset[str] = frozenset()

    @pytest.fixture
    def root(self) -> str:
        raise NotImplementedError

    @pytest.fixture
    def store(self) -> Store:
        raise NotImplementedError

    def skip_if_ignored(self, what: str) -> None:
        if what in self.known_to_ignore:
            pytest.skip(f"this server is known to ignore {what}")

    # writing and reading whole objects

    def test_what_was_put_is_read(self, store: Store, root: str) -> None:
        written = store.put(root + "a", b"one")
        assert store.read(root + "a") == b"one"
        assert (written.uri, written.size_bytes) == (root + "a", 3)
        assert written.etag == store.head(root + "a").etag

    def test_an_empty_object_is_an_object(self, store: Store, root: str) -> None:
        store.put(root + "empty", b"")
        assert store.read(root + "empty") == b""
        assert store.head(root + "empty").size_bytes == 0

    def test_put_replaces_and_the_etag_moves(self, store: Store, root: str) -> None:
        first = store.put(root + "a", b"one")
        second = store.put(root + "a", b"two!")
        assert store.read(root + "a") == b"two!"
        assert first.etag != second.etag

    def test_head_tells_size_time_and_store(self, store: Store, root: str) -> None:
        store.put(root + "a", b"12345")
        item = store.head(root + "a")
        assert (item.uri, item.size_bytes) == (root + "a", 5)
        assert item.modified_at.utcoffset() is not None
        assert item.store_id
        assert item.etag
        assert '"' not in item.etag

    def test_head_of_nothing_is_not_found(self, store: Store, root: str) -> None:
        with pytest.raises(ObjectNotFoundError):
            store.head(root + "nothing")

    def test_read_of_nothing_is_not_found(self, store: Store, root: str) -> None:
        with pytest.raises(ObjectNotFoundError):
            store.read(root + "nothing")

    def test_details_agree_with_head(self, store: Store, root: str) -> None:
        store.put(root + "a", b"one")
        assert store.details(root + "a").item.etag == store.head(root + "a").etag

    @pytest.mark.parametrize(
        ("start", "size", "expected"),
        [
            (0, None, b"0123456789"),
            (0, 4, b"0123"),
            (3, 4, b"3456"),
            (3, None, b"3456789"),
            (8, 10, b"89"),
            (10, 5, b""),
            (11, None, b""),
            (4, 0, b""),
        ],
    )
    def test_ranges(
        self, store: Store, root: str, start: int, size: int | None, expected: bytes
    ) -> None:
        store.put(root + "a", b"0123456789")
        assert store.read(root + "a", start=start, size_bytes=size) == expected

    def test_read_with_the_etag(self, store: Store, root: str) -> None:
        written = store.put(root + "a", b"one")
        assert store.read(root + "a", etag=written.etag) == b"one"

    def test_read_with_another_etag_is_refused(self, store: Store, root: str) -> None:
        store.put(root + "a", b"one")
        with pytest.raises(PreconditionFailedError):
            store.read(root + "a", etag=WRONG)

    @pytest.mark.parametrize("key", ODD_KEYS)
    def test_odd_keys_are_kept_as_they_are(self, store: Store, root: str, key: str) -> None:
        if key in self.unfit_keys:
            pytest.skip("this server does not take such a key")
        uri = self.child(root, key)
        store.put(uri, key.encode())
        assert store.read(uri) == key.encode()
        assert [item.uri for item in store.list(root)] == [uri]
        with store.open(store.head(uri)) as file:
            assert file.read() == key.encode()
        store.delete(uri)
        with pytest.raises(ObjectNotFoundError):
            store.head(uri)

    def child(self, root: str, key: str) -> str:
        return root + key

    # opening

    def test_open_gives_a_seekable_file(self, store: Store, root: str) -> None:
        content = bytes(range(256)) * 20_000
        store.put(root + "a", content)
        with store.open(store.head(root + "a")) as file:
            assert file.size() == len(content)
            assert file.read(10) == content[:10]
            file.seek(3_000_000)
            assert file.read(7) == content[3_000_000:3_000_007]
            file.seek(0)
            assert file.read() == content

    def test_read_at_from_several_threads(self, store: Store, root: str) -> None:
        content = bytes(range(256)) * 20_000
        store.put(root + "a", content)
        places = range(0, 5_000_000, 99_991)
        with store.open(store.head(root + "a")) as file, ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda place: file.read_at(100, place), places))
        assert found == [content[place : place + 100] for place in places]

    def test_open_of_a_replaced_object_is_refused(self, store: Store, root: str) -> None:
        store.put(root + "a", b"one")
        item = store.head(root + "a")
        store.put(root + "a", b"another")
        with pytest.raises(ObjectChangedError):
            store.open(item)

    # listing

    def test_list_is_sorted_and_whole(self, store: Store, root: str) -> None:
        names = ["b", "a/2", "a/1", "a.txt", "c/d/e", "é", "Z"]
        for name in names:
            store.put(self.child(root, name), name.encode())
        found = list(store.list(root))
        assert [item.uri for item in found] == sorted(self.child(root, name) for name in names)
        assert {item.size_bytes for item in found} == {len(name.encode()) for name in names}
        assert [item.etag for item in found] == [store.head(item.uri).etag for item in found]

    def test_list_of_a_folder_leaves_its_neighbours_out(self, store: Store, root: str) -> None:
        for name in ("a/1", "ab/1", "a.b"):
            store.put(root + name, b"x")
        assert [item.uri for item in store.list(root + "a")] == [root + "a/1"]
        assert [item.uri for item in store.list(root + "a/")] == [root + "a/1"]

    def test_list_of_an_object_gives_it(self, store: Store, root: str) -> None:
        store.put(root + "one.txt", b"x")
        assert [item.uri for item in store.list(root + "one.txt")] == [root + "one.txt"]

    def test_list_of_nothing_is_not_found(self, store: Store, root: str) -> None:
        store.put(root + "a", b"x")
        with pytest.raises(ObjectNotFoundError):
            list(store.list(root + "nothing/here"))

    def test_own_folders_are_written_but_never_listed(self, store: Store, root: str) -> None:
        store.put(root + "data", b"x")
        store.put(root + ".greendata/lease", b"mine")
        store.put(root + "sub/_greendata/manifest.json", b"mine")
        assert [item.uri for item in store.list(root)] == [root + "data"]
        assert store.read(root + ".greendata/lease") == b"mine"

    def test_globs_expand_to_what_matches(self, store: Store, root: str) -> None:
        for name in ("a-1.txt", "a-2.txt", "b-1.txt", "sub/a-3.txt"):
            store.put(root + name, b"x")
        assert store.expand(root + "a-*.txt") == (root + "a-1.txt", root + "a-2.txt")
        assert store.expand(root + "**/a-?.txt")[-1] == root + "sub/a-3.txt"
        assert [item.uri for item in store.list(root + "b-*")] == [root + "b-1.txt"]
        assert store.expand(root + "b-1.txt") == (root + "b-1.txt",)
        with pytest.raises(ObjectNotFoundError):
            store.expand(root + "nothing-*")

    # conditions

    def test_put_if_absent(self, store: Store, root: str) -> None:
        store.put(root + "a", b"one", condition=IF_ABSENT)
        with pytest.raises(PreconditionFailedError):
            store.put(root + "a", b"two", condition=IF_ABSENT)
        assert store.read(root + "a") == b"one"

    def test_put_if_match(self, store: Store, root: str) -> None:
        first = store.put(root + "a", b"one")
        store.put(root + "a", b"two", condition=Condition(etag=first.etag))
        with pytest.raises(PreconditionFailedError):
            store.put(root + "a", b"three", condition=Condition(etag=first.etag))
        assert store.read(root + "a") == b"two"

    def test_put_if_match_where_nothing_is(self, store: Store, root: str) -> None:
        with pytest.raises((PreconditionFailedError, ObjectNotFoundError)):
            store.put(root + "a", b"one", condition=Condition(etag=WRONG))
        with pytest.raises(ObjectNotFoundError):
            store.head(root + "a")

    @pytest.mark.parametrize("is_absent", [True, False])
    def test_of_racing_writers_one_wins(self, store: Store, root: str, is_absent: bool) -> None:
        self.skip_if_ignored("races")
        first = None if is_absent else store.put(root + "a", b"first")
        condition = IF_ABSENT if first is None else Condition(etag=first.etag)
        gate = threading.Barrier(WRITERS)

        def write(number: int) -> int | None:
            gate.wait()
            try:
                store.put(root + "a", str(number).encode(), condition=condition)
            except PreconditionFailedError:
                return None
            return number

        with ThreadPoolExecutor(WRITERS) as pool:
            winners = [n for n in pool.map(write, range(WRITERS)) if n is not None]
        assert len(winners) == 1
        assert store.read(root + "a") == str(winners[0]).encode()

    def test_delete(self, store: Store, root: str) -> None:
        store.put(root + "a", b"one")
        store.delete(root + "a")
        with pytest.raises(ObjectNotFoundError):
            store.head(root + "a")

    def test_delete_of_nothing_is_no_error(self, store: Store, root: str) -> None:
        store.delete(root + "nothing")

    def test_delete_if_match(self, store: Store, root: str) -> None:
        written = store.put(root + "a", b"one")
        with pytest.raises(PreconditionFailedError):
            store.delete(root + "a", etag=WRONG)
        assert store.read(root + "a") == b"one"
        store.delete(root + "a", etag=written.etag)
        with pytest.raises(ObjectNotFoundError):
            store.head(root + "a")

    # copying

    def test_copy_keeps_content_and_what_is_beside_it(self, store: Store, root: str) -> None:
        store.put(root + "a", b"one", properties=BESIDE)
        store.copy(root + "a", root + "b")
        assert store.read(root + "b") == b"one"
        self.has_all_beside(store, root + "b")

    def has_all_beside(self, store: Store, uri: str) -> None:
        if store.capabilities.has_metadata:
            details = store.details(uri)
            assert BESIDE.lost_in(details) == ""
            assert (dict(details.metadata), store.tags(uri)) == (BESIDE.metadata, BESIDE.tags)

    def test_copy_of_nothing_is_not_found(self, store: Store, root: str) -> None:
        with pytest.raises(ObjectNotFoundError):
            store.copy(root + "nothing", root + "b")

    def test_copy_if_the_source_matches(self, store: Store, root: str) -> None:
        self.skip_if_ignored("copy-source-if-match")
        store.put(root + "a", b"one")
        with pytest.raises(PreconditionFailedError):
            store.copy(root + "a", root + "b", source_etag=WRONG)
        with pytest.raises(ObjectNotFoundError):
            store.head(root + "b")

    def test_copy_if_absent(self, store: Store, root: str) -> None:
        self.skip_if_ignored("copy-if-absent")
        store.put(root + "a", b"one")
        store.put(root + "b", b"two")
        with pytest.raises(PreconditionFailedError):
            store.copy(root + "a", root + "b", condition=IF_ABSENT)
        assert store.read(root + "b") == b"two"

    def test_copy_if_the_target_matches(self, store: Store, root: str) -> None:
        self.skip_if_ignored("copy-if-match")
        store.put(root + "a", b"one")
        target = store.put(root + "b", b"two")
        with pytest.raises(PreconditionFailedError):
            store.copy(root + "a", root + "b", condition=Condition(etag=WRONG))
        assert store.read(root + "b") == b"two"
        store.copy(root + "a", root + "b", condition=Condition(etag=target.etag))
        assert store.read(root + "b") == b"one"

    # multipart

    PART = 5 << 20

    def needs(self, is_there: bool) -> None:
        if not is_there:
            pytest.skip("this store has no such thing")

    def test_parts_become_one_object_in_the_order_of_their_numbers(
        self, store: Store, root: str
    ) -> None:
        self.needs(store.capabilities.is_multipart)
        upload = store.start_upload(root + "a", BESIDE)
        last = store.put_part(upload, 2, b"end")
        store.put_part(upload, 1, b"x" * self.PART)
        first = store.put_part(upload, 1, b"y" * self.PART)  # sent again: replaces
        with pytest.raises(ObjectNotFoundError):
            store.head(root + "a")
        written = store.complete_upload(upload, [last, first])
        assert written.size_bytes == self.PART + 3
        assert store.read(root + "a") == b"y" * self.PART + b"end"
        self.has_all_beside(store, root + "a")

    def test_an_aborted_upload_leaves_nothing(self, store: Store, root: str) -> None:
        self.needs(store.capabilities.is_multipart)
        upload = store.start_upload(root + "a")
        store.put_part(upload, 1, b"x")
        store.abort_upload(root + "a", upload.upload_id)
        store.abort_upload(root + "a", upload.upload_id)
        with pytest.raises(ObjectNotFoundError):
            store.head(root + "a")

    def test_an_incomplete_upload_is_listed(self, store: Store, root: str) -> None:
        self.needs(store.capabilities.is_multipart)
        self.skip_if_ignored("uploads")
        upload = store.start_upload(root + "a")
        store.put_part(upload, 1, b"x")
        assert [found.uri for found in store.uploads(root)] == [root + "a"]
        store.abort_upload(root + "a", upload.upload_id)

    def test_complete_if_absent(self, store: Store, root: str) -> None:
        self.needs(store.capabilities.is_multipart)
        store.put(root + "a", b"there")
        self._complete_is_refused(store, root + "a", IF_ABSENT)

    def test_complete_if_match(self, store: Store, root: str) -> None:
        self.needs(store.capabilities.is_multipart)
        self.skip_if_ignored("multipart-if-match")
        store.put(root + "a", b"there")
        self._complete_is_refused(store, root + "a", Condition(etag=WRONG))

    def _complete_is_refused(self, store: Store, uri: str, condition: Condition) -> None:
        upload = store.start_upload(uri)
        part = store.put_part(upload, 1, b"new")
        with pytest.raises(PreconditionFailedError):
            store.complete_upload(upload, [part], condition=condition)
        assert store.read(uri) == b"there"

    # beside the content

    def test_metadata_and_type_are_kept(self, store: Store, root: str) -> None:
        self.needs(store.capabilities.has_metadata)
        beside = Properties(content_type="text/plain", metadata={"owner": "me"})
        store.put(root + "a", b"one", properties=beside)
        details = store.details(root + "a")
        assert dict(details.metadata) == {"owner": "me"}
        assert details.content_type == "text/plain"

    def test_tags_are_set_replaced_and_read(self, store: Store, root: str) -> None:
        self.needs(store.capabilities.has_tags)
        etag = store.put(root + "a", b"one", properties=Properties(tags={"a": "1"})).etag
        assert store.tags(root + "a") == {"a": "1"}
        store.set_tags(root + "a", {"b": "2", "c": "x y"})
        assert store.tags(root + "a") == {"b": "2", "c": "x y"}
        assert store.head(root + "a").etag == etag

    def test_all_tags_can_be_taken_off(self, store: Store, root: str) -> None:
        self.needs(store.capabilities.has_tags)
        store.put(root + "a", b"one", properties=Properties(tags={"team": "us"}))
        store.set_tags(root + "a", {})
        assert store.tags(root + "a") == {}

    def test_set_tier_keeps_content_and_what_is_beside_it(self, store: Store, root: str) -> None:
        self.needs(store.capabilities.has_tiers)
        written = store.put(root + "a", b"one", properties=BESIDE)
        store.set_tier(root + "a", self.cool_class, etag=written.etag)
        assert store.head(root + "a").storage_class == self.cool_class
        self.has_all_beside(store, root + "a")
        assert store.read(root + "a") == b"one"

    def test_a_copy_stays_in_its_class(self, store: Store, root: str) -> None:
        self.needs(store.capabilities.has_tiers)
        store.put(root + "a", b"one", properties=Properties(storage_class=self.cool_class))
        store.copy(root + "a", root + "b")
        assert store.head(root + "b").storage_class == self.cool_class

    def test_set_tier_of_another_etag_is_refused(self, store: Store, root: str) -> None:
        self.needs(store.capabilities.has_tiers)
        self.skip_if_ignored("tier-if-match")
        store.put(root + "a", b"one")
        before = store.head(root + "a").storage_class
        with pytest.raises(PreconditionFailedError):
            store.set_tier(root + "a", self.cool_class, etag=WRONG)
        assert store.head(root + "a").storage_class == before

    def test_an_archived_object_cannot_be_read_until_restored(
        self, store: Store, root: str
    ) -> None:
        self.needs(store.capabilities.has_tiers)
        store.put(root + "a", b"one")
        store.set_tier(root + "a", self.archive_class)
        assert store.details(root + "a").is_archived
        with pytest.raises(ObjectArchivedError):
            store.read(root + "a")
        store.restore(root + "a", days=1)
        assert store.read(root + "a") == b"one"

    # what other processes do meanwhile

    def test_listing_survives_a_deletion_in_the_middle(self, store: Store, root: str) -> None:
        for number in range(5):
            store.put(f"{root}{number}", b"x")
        listing = store.list(root)
        first = next(listing)
        store.delete(root + "4")
        assert first.uri == root + "0"
        assert {item.uri for item in listing} >= {f"{root}{number}" for number in (1, 2, 3)}

    def test_own_folders_are_told_apart_from_everything_else(self, store: Store, root: str) -> None:
        for key in ("a", "f/b", ".greendata/x/own", "f/_greendata/own"):
            store.put(root + key, b"12")
        found = {item.uri: item.size_bytes for item in store.own_objects(root)}
        own = {root + ".greendata/x/own": 2, root + "f/_greendata/own": 2}
        assert own.items() <= found.items()
        assert not {root + "a", root + "f/b"} & set(found)
        inside = {item.uri for item in store.own_objects(root + ".greendata/x")}
        assert root + ".greendata/x/own" in inside
        assert root + "f/_greendata/own" not in inside
        assert list(store.own_objects(root + "not-there/")) == []

    def test_a_folder_by_itself_has_its_objects_and_folders(self, store: Store, root: str) -> None:
        if not store.capabilities.has_folders:
            pytest.skip("lists no folder by itself")
        for key in ("a", "f/b", "f/g/c", "f/g/d", "x y/é", ".greendata/own", "f/_greendata/own"):
            store.put(root + key, b"1")
        found = list(store.list_folder(root))
        assert {item for item in found if isinstance(item, str)} == {f"{root}f/", f"{root}x y/"}
        assert [item.uri for item in found if not isinstance(item, str)] == [f"{root}a"]
        found = list(store.list_folder(f"{root}f/"))
        assert {item for item in found if isinstance(item, str)} == {f"{root}f/g/"}
        assert [item.size_bytes for item in found if not isinstance(item, str)] == [1]

    def test_a_folder_by_itself_may_have_versions(self, store: Store, root: str) -> None:
        if not store.capabilities.has_folders:
            pytest.skip("lists no folder by itself")
        store.put(f"{root}a", b"1")
        found = list(store.list_folder(root, with_versions=True))
        assert [item.uri for item in found if not isinstance(item, str)] == [f"{root}a"]


class VersionsContract:
    """For places where earlier versions are kept."""

    @pytest.fixture
    def versioned_root(self) -> str:
        raise NotImplementedError

    def test_versions_are_listed_newest_first(self, store: Store, versioned_root: str) -> None:
        uri = versioned_root + "a"
        first, second = store.put(uri, b"one"), store.put(uri, b"two")
        found = list(store.versions(versioned_root))
        assert [v.version_id for v in found] == [second.version_id, first.version_id]
        assert [v.is_latest for v in found] == [True, False]
        assert store.read(uri, version_id=first.version_id) == b"one"

    def test_delete_leaves_a_marker_that_can_be_removed(
        self, store: Store, versioned_root: str
    ) -> None:
        uri = versioned_root + "a"
        store.put(uri, b"one")
        marker = store.delete(uri).marker_version_id
        assert marker is not None
        with pytest.raises(ObjectNotFoundError):
            store.head(uri)
        assert [v.is_delete_marker for v in store.versions(uri)] == [True, False]
        store.delete(uri, version_id=marker)
        assert store.read(uri) == b"one"

    def test_delete_of_a_version_removes_that_one_alone(
        self, store: Store, versioned_root: str
    ) -> None:
        uri = versioned_root + "a"
        first, second = store.put(uri, b"one"), store.put(uri, b"two")
        store.delete(uri, version_id=first.version_id)
        assert [v.version_id for v in store.versions(uri)] == [second.version_id]

    def test_versions_are_deleted_together(self, store: Store, versioned_root: str) -> None:
        uris = [versioned_root + name for name in ("a", "b &<>'\"", "c")]
        written = [(uri, store.put(uri, b"one").version_id or "") for uri in uris]
        newer = [store.put(uri, b"two").version_id for uri in uris]
        store.delete(uris[2], version_id=written[2][1])
        assert store.delete_versions(written) == {}
        assert [v.version_id for v in store.versions(versioned_root)] == newer
        assert store.delete_versions([]) == {}


class HoldsContract:
    """For places where legal holds can be set."""

    @pytest.fixture
    def lockable_root(self) -> str:
        raise NotImplementedError

    def test_a_held_version_cannot_be_deleted(self, store: Store, lockable_root: str) -> None:
        uri = lockable_root + "a"
        written = store.put(uri, b"one")
        store.set_hold(uri, is_held=True)
        assert store.details(uri).is_held
        with pytest.raises(ObjectHeldError):
            store.delete(uri, version_id=written.version_id)
        store.set_hold(uri, is_held=False)
        store.delete(uri, version_id=written.version_id)

    def test_of_versions_deleted_together_what_is_held_stays(
        self, store: Store, lockable_root: str
    ) -> None:
        held, free = lockable_root + "held", lockable_root + "free"
        named = [(uri, store.put(uri, b"one").version_id or "") for uri in (held, free)]
        store.set_hold(held, is_held=True)
        ((version, error),) = store.delete_versions(named).items()
        assert version == named[0]
        assert isinstance(error, ObjectHeldError)
        assert [v.uri for v in store.versions(lockable_root)] == [held]
        store.set_hold(held, is_held=False)
        store.delete(held, version_id=named[0][1])
