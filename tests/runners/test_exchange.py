from __future__ import annotations

from pathlib import Path

import pytest

from greendata.runners import exchange as home
from greendata.runners.exchange import Exchange, TaskFolder

CONTENTS = [b"", b"x", bytes(range(256)) * 41]


@pytest.mark.parametrize("is_shared", [True, False])
@pytest.mark.parametrize("piece_bytes", [1, 100, 1 << 20])
def test_files_arrive_whole_and_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_shared: bool, piece_bytes: int
) -> None:
    monkeypatch.setattr(home, "PIECE_BYTES", piece_bytes)
    exchange = Exchange(tmp_path, is_shared=is_shared)
    receiving = exchange.receiving()
    with TaskFolder(exchange.shared_folder) as folder:
        for number, content in enumerate(CONTENTS):
            path = folder.path / f"{number}"
            path.write_bytes(content[: 3_000 if piece_bytes == 1 else None])
            for piece in folder.hand_over(path):
                receiving.take(piece)
    wanted = [content[: 3_000 if piece_bytes == 1 else None] for content in CONTENTS]
    assert [path.read_bytes() for path in receiving.paths] == wanted
    assert folder.path.exists() is is_shared
    exchange.close()
    assert not tmp_path.exists()


def test_pieces_are_no_larger_than_they_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(home, "PIECE_BYTES", 100)
    with TaskFolder(None) as folder:
        (folder.path / "a").write_bytes(bytes(250))
        sizes = [
            len(piece.content)
            for piece in folder.hand_over(folder.path / "a")
            if piece.content is not None
        ]
    assert sizes == [100, 100, 50]


def test_attempts_at_the_same_task_never_share_a_folder(tmp_path: Path) -> None:
    with TaskFolder(tmp_path) as one, TaskFolder(tmp_path) as other:
        assert one.path != other.path


def fail_in(folder: TaskFolder) -> None:
    with folder:
        (folder.path / "half").touch()
        raise KeyError


@pytest.mark.parametrize("is_shared", [True, False])
def test_folder_of_a_task_that_fails_is_removed(tmp_path: Path, is_shared: bool) -> None:
    folder = TaskFolder(tmp_path if is_shared else None)
    with pytest.raises(KeyError):
        fail_in(folder)
    assert not folder.path.exists()
