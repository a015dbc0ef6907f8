"""Where the published traces lie, for tests that hold fits against them: HEADWAY_DATA names the folder."""

import os
from pathlib import Path

import pytest


def data_file(name: str) -> Path:
    """Skips the test where there is none."""
    folder = os.environ.get("HEADWAY_DATA")
    path = Path(folder or ".") / name
    if folder is None or not path.exists():
        pytest.skip(f"HEADWAY_DATA names no folder with {name}")
    return path
