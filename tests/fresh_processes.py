"""What a program prints in two fresh processes whose hashes differ: one text, if nothing depends on them."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def told_by_two(program: str) -> set[str]:
    path = os.pathsep.join((str(ROOT / "src"), str(ROOT)))
    return {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
