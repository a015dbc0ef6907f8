"""The compiled kernels: the variant for this processor, loaded into this process, and its functions.

Owns which variant is taken and when none can be. Mirrors `cpu/interface.h`. Knows no tensor, only addresses.
"""

import ctypes
from ctypes import CFUNCTYPE, POINTER, Structure, c_float, c_int64, c_uint64, c_void_p
from hashlib import sha256
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import NamedTuple

import torch

folder = Path(__file__).parent / "cpu"

_v3 = frozenset(("abm", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"))
_v4 = _v3 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
VARIANTS: dict[str, frozenset[str]] = {"v4": _v4, "v3": _v3, "baseline": frozenset()}
"""Best first, each with what it needs of the processor, in the words of /proc/cpuinfo."""


class Unavailable(Exception):
    """No kernels here. The message says why, and what would help."""


class Attention(Structure):
    _fields_ = (
        *((name, c_int64) for name in ("heads", "kv_heads", "head_dim", "block_size", "window", "sequences")),
        ("slices", c_void_p),
        ("tables", c_void_p),
        ("scale", c_float),
    )


class Turn(Structure):
    _fields_ = (
        *((name, c_int64) for name in ("rows", "heads", "kv_heads", "head_dim")),
        *((name, c_void_p) for name in ("slots", "cos", "sin", "q_norm", "k_norm")),
        ("eps", c_float),
    )


class Linear(Structure):
    _fields_ = (("inputs", c_int64), ("outputs", c_int64), ("weights", c_void_p), ("bias", c_void_p))


class Kernels(NamedTuple):
    """Functions of `cpu/interface.h`. They check nothing: who calls has checked every size."""

    variant: str
    panel: int  # outputs that lie side by side in a linear map's weights
    attend: "ctypes._FuncPointer"  # (plan, qkv, keys, values, out)
    turn: "ctypes._FuncPointer"  # (plan, qkv, keys, values)
    add_norm: "ctypes._FuncPointer"  # (x, added, weight, eps, out, rows, width)
    silu_gate: "ctypes._FuncPointer"  # (gate_up, out, rows, width)
    linear: "ctypes._FuncPointer"  # (map, x, y, rows)


def load_kernels() -> Kernels:
    """The best variant that this processor has and that was built. Raises Unavailable."""
    able = processor_flags()
    built = [name for name in VARIANTS if path_of(name) is not None]
    if not built:
        raise Unavailable("they were not built; install again where there is a C++ compiler (g++)")
    reasons = []
    for name in built:
        if VARIANTS[name] <= able:
            try:
                return load_variant(name)
            except Unavailable as why:
                reasons.append(str(why))
    unlike = f"they were built for processors unlike this one ({', '.join(built)})"
    raise Unavailable("; ".join(reasons) or unlike)


def load_variant(name: str) -> Kernels:
    """Raises Unavailable. Whether the processor has what the variant needs is the caller's to know."""
    path = path_of(name)
    if path is None:
        raise Unavailable(f"{name} was not built")
    try:
        library = ctypes.CDLL(str(path))  # its OpenMP is what torch has loaded: it names none of its own
    except OSError as error:
        raise Unavailable(f"{path.name} cannot be loaded: {error}") from error
    if not _is_of_these_sources(library):
        raise Unavailable(f"{path.name} was built from other sources than these; install again")
    library.headway_openmp.restype = c_void_p
    if library.headway_openmp() != _torch_openmp():
        raise Unavailable(
            "torch and the kernels would run on two OpenMP libraries, each with its own threads"
        )
    one = c_void_p, c_void_p, c_void_p
    return Kernels(
        name,
        library.headway_panel(),
        CFUNCTYPE(None, POINTER(Attention), *one, c_void_p)(("headway_attend", library)),
        CFUNCTYPE(None, POINTER(Turn), *one)(("headway_turn", library)),
        CFUNCTYPE(None, *one, c_float, c_void_p, c_int64, c_int64)(("headway_add_norm", library)),
        CFUNCTYPE(None, c_void_p, c_void_p, c_int64, c_int64)(("headway_silu_gate", library)),
        CFUNCTYPE(None, POINTER(Linear), c_void_p, c_void_p, c_int64)(("headway_linear", library)),
    )


def digest_of_sources() -> int:
    """64 bits that stand for every line of the kernels' sources. `setup.py` compiles the same number in."""
    files = sorted((*folder.glob("*.cpp"), *folder.glob("*.h")))
    return int.from_bytes(sha256(b"".join(file.read_bytes() for file in files)).digest()[:8], "little")


def _is_of_these_sources(library: ctypes.CDLL) -> bool:
    """What crosses is laid out as the sources say: an older build would read it wrongly."""
    try:
        compiled_in = library.headway_sources
    except AttributeError:
        return False
    compiled_in.restype = c_uint64
    return bool(compiled_in() == digest_of_sources())


def path_of(name: str) -> Path | None:
    """Where a variant was built to, if it was."""
    places = (folder / f"lib_{name}{suffix}" for suffix in EXTENSION_SUFFIXES)
    return next((place for place in places if place.is_file()), None)


def processor_flags() -> frozenset[str]:
    """What the processor can do; nothing where that is not known, and then the baseline runs."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.split(":")[1] for line in lines if line.startswith("flags")), "").split())


def _torch_openmp() -> int | None:
    """Where torch's own library finds OpenMP."""
    try:
        function = ctypes.CDLL(torch._C.__file__).omp_get_max_threads
    except (OSError, AttributeError):
        return None
    return ctypes.cast(function, c_void_p).value
