import hashlib
from pathlib import Path

import pytest

from engine.errors import OutputNotWritableError
from engine.io.digests import (
    atomic_file,
    digest_of,
    fresh_folder,
    require_writable,
    sha256_of,
    write_text_atomically,
)


def entries(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def write_half(path):
    path.write_text("half")
    raise OSError("disk full")


def test_sha256_is_that_of_the_whole_file_whatever_its_length(tmp_path):
    for length in (0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1):
        data = bytes(range(256)) * (length // 256 + 1)
        path = tmp_path / "f.bin"
        path.write_bytes(data[:length])
        assert sha256_of(path) == hashlib.sha256(data[:length]).hexdigest()


def test_a_digest_names_the_file_without_its_folder(tmp_path):
    path = tmp_path / "secret-folder" / "cell.mrc"
    path.parent.mkdir()
    path.write_bytes(b"x")
    assert digest_of(path).name == "cell.mrc"


def test_text_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.txt"
    write_text_atomically(path, "first\n")
    with pytest.raises(OSError, match="disk"), atomic_file(path) as staging:
        write_half(staging)
    assert path.read_bytes() == b"first\n"
    assert entries(tmp_path) == ["a.txt"]


def test_a_failure_leaves_no_folder_and_no_new_parents(tmp_path):
    with (
        pytest.raises(OSError, match="disk"),
        fresh_folder(tmp_path / "a" / "b" / "out") as staging,
    ):
        write_half(staging / "half")
    assert entries(tmp_path) == []


def test_a_folder_of_an_earlier_run_is_replaced_as_a_whole(tmp_path):
    out = tmp_path / "deep" / "out"
    with fresh_folder(out) as staging:
        (staging / "old.txt").write_text("old")
    with fresh_folder(out) as staging:
        (staging / "new.txt").write_text("new")
    assert entries(out) == [".tomodx", "new.txt"]
    assert entries(out.parent) == ["out", "out/.tomodx", "out/new.txt"]


def test_an_earlier_folder_stays_whole_when_the_new_run_fails(tmp_path):
    out = tmp_path / "out"
    with fresh_folder(out) as staging:
        (staging / "old.txt").write_text("old")
    with pytest.raises(RuntimeError), fresh_folder(out):
        raise RuntimeError
    assert (out / "old.txt").read_text() == "old"
    assert entries(tmp_path) == ["out", "out/.tomodx", "out/old.txt"]


def test_an_empty_folder_is_taken(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with fresh_folder(out) as staging:
        (staging / "a").write_text("a")
    assert (out / "a").read_text() == "a"


@pytest.mark.parametrize("check", [require_writable, lambda p: fresh_folder(p).__enter__()])
def test_foreign_files_are_never_touched(tmp_path, check):
    out = tmp_path / "out"
    with fresh_folder(out) as staging:
        (staging / "ours.txt").write_text("a")
    (out / "thesis.txt").write_text("mine")
    with pytest.raises(OutputNotWritableError, match=r"thesis\.txt"):
        check(out)
    assert (out / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("place", ["file", "file/x", "file/x/y"])
def test_a_file_in_the_way_is_refused_in_one_line(tmp_path, place):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputNotWritableError, match="expected an output"):
        require_writable(tmp_path / place)
    if place == "file/x":
        with pytest.raises(OutputNotWritableError):
            write_text_atomically(tmp_path / place, "x")
    assert entries(tmp_path) == ["file"]


def test_checking_leaves_nothing_behind(tmp_path):
    require_writable(tmp_path / "a" / "b")
    assert entries(tmp_path) == []


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    for text in ("first", "second"):
        with fresh_folder(tmp_path / "out") as staging:
            (staging / "a").write_text(text)
        assert (tmp_path / "out").is_symlink()
        assert (tmp_path / "disk" / "a").read_text() == text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "out"]


def test_the_working_folder_is_not_swapped_away(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for place in (".", ".."):
        with pytest.raises(OutputNotWritableError, match="name a folder below"):
            require_writable(Path(place))
