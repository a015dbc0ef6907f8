"""Which variant is loaded, what is said when none can be, and what `--kernels` makes of it."""

import logging
import shutil
from pathlib import Path

import pytest

from headway import build
from headway.config import ConfigError, Settings
from headway.kernels import library
from headway.kernels.library import VARIANTS, Kernels, Unavailable, load_kernels, load_variant
from headway.model.layers import Linear
from headway.model.mixing import PlainMixing
from headway.model.native import NativeMixing
from tests.kernels.steps import Shape


def test_the_best_built_variant_that_the_processor_has_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "path_of", lambda name: Path(name))
    monkeypatch.setattr(library, "load_variant", lambda name: name)
    for best, flags in (("v4", VARIANTS["v4"]), ("v3", VARIANTS["v3"] | {"avx512f"}), ("baseline", set())):
        monkeypatch.setattr(library, "processor_flags", lambda flags=flags: frozenset(flags))
        assert load_kernels() == best
    monkeypatch.setattr(library, "path_of", lambda name: Path(name) if name == "v4" else None)
    with pytest.raises(Unavailable, match="unlike this one"):
        load_kernels()


def test_what_was_not_built_is_said_with_what_helps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(library, "folder", tmp_path)
    with pytest.raises(Unavailable, match=r"not built.*C\+\+ compiler"):
        load_kernels()
    with pytest.raises(Unavailable, match="v3 was not built"):
        load_variant("v3")


def test_a_file_that_is_no_library_is_no_kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "lib_v4.so"
    file.write_text("nothing of the kind")
    monkeypatch.setattr(library, "path_of", lambda name: file)
    with pytest.raises(Unavailable, match="cannot be loaded"):
        load_variant("v4")


def test_two_openmp_libraries_are_refused(kernels: Kernels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "_torch_openmp", lambda: 1)
    with pytest.raises(Unavailable, match="two OpenMP libraries"):
        load_variant(kernels.variant)


def test_a_library_of_other_sources_is_not_taken(kernels: Kernels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "digest_of_sources", lambda: 1)
    with pytest.raises(Unavailable, match="built from other sources"):
        load_variant(kernels.variant)


def test_a_variant_that_cannot_be_loaded_leaves_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> str:
        if name == "baseline":
            return name
        raise Unavailable(f"{name} is broken")

    monkeypatch.setattr(library, "path_of", lambda name: Path(name))
    monkeypatch.setattr(library, "load_variant", load)
    monkeypatch.setattr(library, "processor_flags", lambda: VARIANTS["v4"])
    assert load_kernels() == "baseline"
    monkeypatch.setattr(library, "path_of", lambda name: None if name == "baseline" else Path(name))
    with pytest.raises(Unavailable, match="v4 is broken; v3 is broken"):
        load_kernels()


@pytest.mark.skipif(shutil.which("c++") is None, reason="there is no C++ compiler")
def test_where_there_is_a_compiler_the_kernels_are_built() -> None:
    assert load_kernels().variant in VARIANTS


def unavailable() -> Kernels:
    raise Unavailable("they were not built")


def test_auto_without_kernels_says_so_in_one_line_and_runs_torch(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(build, "load_kernels", unavailable)
    with caplog.at_level(logging.WARNING):
        parts, _ = build._parts(Settings(), Shape().spec())
    assert parts.linear is Linear
    (record,) = caplog.records
    assert "no native kernels" in record.getMessage()
    assert "\n" not in record.getMessage()


def test_native_without_kernels_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "load_kernels", unavailable)
    with pytest.raises(ConfigError, match="--kernels native: they were not built; --kernels plain"):
        build._parts(Settings(kernels="native"), Shape().spec())


def test_native_and_plain_are_what_they_say(kernels: Kernels, caplog: pytest.LogCaptureFixture) -> None:
    spec = Shape().spec()
    assert isinstance(build._parts(Settings(kernels="native"), spec)[0].mixing, NativeMixing)
    assert isinstance(build._parts(Settings(), spec)[0].mixing, NativeMixing)
    assert isinstance(build._parts(Settings(kernels="plain"), spec)[0].mixing, PlainMixing)
    assert not caplog.records
