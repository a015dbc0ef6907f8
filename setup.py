"""The native kernels, compiled where there is a compiler; all else is in pyproject.toml.

One source, several instruction sets: which one runs is chosen when the library is loaded. Each variant may
fail by itself, and Headway then says at start-up what it runs on instead.
"""

import os
import platform
from hashlib import sha256
from pathlib import Path

from setuptools import Extension, setup

folder = Path("src/headway/kernels/cpu")
on_x86 = platform.machine().lower() in ("x86_64", "amd64")
# As in kernels/library.py, which takes no library that was built from other sources.
files = sorted((*folder.glob("*.cpp"), *folder.glob("*.h")))
digest = int.from_bytes(sha256(b"".join(file.read_bytes() for file in files)).digest()[:8], "little")
variants = {"baseline": []} | ({"v3": ["-march=x86-64-v3"], "v4": ["-march=x86-64-v4"]} if on_x86 else {})


def extension(name: str, flags: list[str]) -> Extension:
    """A library that is opened by ctypes: a Python module in its file's name alone.

    OpenMP is compiled for but not linked: its functions are those that torch has loaded. Contraction is
    said, because all code of a variant must round alike; nothing that lets infinities or NaN go is.
    """
    return Extension(
        f"headway.kernels.cpu.lib_{name}",
        sources=sorted(str(path) for path in folder.glob("*.cpp")),
        depends=sorted(str(path) for path in folder.glob("*.h")),
        extra_compile_args=[
            "-std=c++17",
            "-O3",
            "-fopenmp",
            "-ffp-contract=fast",
            "-fvisibility=hidden",
            "-Wno-psabi",
            f"-DHEADWAY_SOURCES={digest}ull",
            *flags,
        ],
        language="c++",
        optional="HEADWAY_REQUIRE_KERNELS" not in os.environ,  # a failure is one line at start-up, then
    )


setup(ext_modules=[extension(name, flags) for name, flags in variants.items()])
