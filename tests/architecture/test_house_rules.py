"""The package keeps the house's rules, and each rule is shown to catch what breaks it."""

from pathlib import Path

import pytest

from tests.architecture.house_rules import (
    import_table,
    modules_loaded,
    size_violations,
    torch_free,
    violations,
)

package = Path(__file__).parents[2] / "src" / "headway"
purpose = '"""What it owns."""\n'


def tree(root: Path, files: dict[str, str]) -> Path:
    """A small package; every file gets its opening docstring unless its text brings one or is empty."""
    for name, text in files.items():
        path = root / "headway" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text if not text or text.startswith(('"""', "#")) else purpose + text)
    return root / "headway"


def broken(folder: Path) -> list[tuple[str, str]]:
    return [(v.file, v.rule) for v in violations(folder)]


def test_the_package_breaks_no_rule() -> None:
    found = violations(package)
    assert not found, "\n".join(f"{v.file}:{v.line}: {v.rule}: {v.message}" for v in found)


@pytest.mark.parametrize("folder", ["tests", "benchmarks"])
def test_tests_and_benchmarks_keep_the_sizes_too(folder: str) -> None:
    found = size_violations(package.parents[1] / folder)
    assert not found, "\n".join(f"{folder}/{v.file}:{v.line}: {v.message}" for v in found)


def test_every_area_of_the_package_stands_in_the_import_table() -> None:
    areas = {path.relative_to(package).parts[0].removesuffix(".py") for path in package.rglob("*.py")}
    assert areas <= set(import_table)


@pytest.mark.parametrize("area", torch_free)
def test_importing_a_torch_free_area_loads_no_torch(area: str) -> None:
    assert (package / area).exists() or (package / f"{area}.py").exists()
    assert "torch" not in modules_loaded(package, area)


def test_a_lawful_tree_passes(tmp_path: Path) -> None:
    files = {
        "core/__init__.py": "",
        "core/types.py": "import dataclasses\n",
        "sim/run.py": "from headway.core import types\nimport random\n",
    }
    assert broken(tree(tmp_path, files)) == []


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("core/engine.py", "import torch"),
        ("core/engine.py", "from headway.model import layers"),
        ("core/engine.py", "from headway.config import Settings"),
        ("spec.py", "import torch"),
        ("hub.py", "from headway.text import tokenizer"),
        ("model/layers.py", "from headway.core.scheduler import Scheduler"),
        ("model/layers.py", "from headway.core import scheduler"),
        ("executors/local.py", "from headway.server.app import app"),
        ("text/tokenizer.py", "import transformers"),
        ("metrics/ledger.py", "from headway.core.scheduler import Scheduler"),
        ("server/app.py", "from headway.executors.local import LocalExecutor"),
        ("server/app.py", "from headway.model.decoder import Decoder"),
        ("server/app.py", "from headway.core.engine import Engine"),
        ("server/app.py", "import torch"),
        ("sim/run.py", "import torch"),
        ("sim/run.py", "from headway.executors.local import LocalExecutor"),
        ("sim/run.py", "from headway.bench.offline import measure"),
        ("bench/offline.py", "from headway.llm import LLM"),
        ("executors/local.py", "from headway.build import build_engine"),
        ("build.py", "from headway.cli.main import app"),
        ("core/engine.py", "from . import types"),
        ("attic/thing.py", "import numpy"),
    ],
)
def test_an_import_outside_the_table_is_found(tmp_path: Path, file: str, line: str) -> None:
    folder = tree(tmp_path, {"core/types.py": "", "core/scheduler.py": "x = 1\n", file: f"{line}\n"})
    assert (file, "import table") in broken(folder)


def test_an_import_inside_a_function_counts_too(tmp_path: Path) -> None:
    folder = tree(tmp_path, {"core/engine.py": "def run():\n    import torch\n"})
    assert ("core/engine.py", "import table") in broken(folder)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("core/engine.py", "import time"),
        ("core/engine.py", "from random import random"),
        ("core/engine.py", "import logging"),
        ("core/engine.py", "import os.path"),
        ("core/engine.py", "import threading"),
        ("core/engine.py", "print(1)"),
        ("core/engine.py", "open('x')"),
        ("core/engine.py", "hash('x')"),
        ("sim/run.py", "import time"),
        ("server/app.py", "print(1)"),
        ("executors/wire.py", "import pickle"),
        ("cli/main.py", "eval('1')"),
    ],
)
def test_a_name_banned_in_its_folder_is_found(tmp_path: Path, file: str, text: str) -> None:
    assert (file, "banned name") in broken(tree(tmp_path, {file: f"{text}\n"}))


def test_print_is_for_commands(tmp_path: Path) -> None:
    assert broken(tree(tmp_path, {"cli/main.py": "print(1)\n"})) == []


def test_a_file_over_300_lines_is_found(tmp_path: Path) -> None:
    fits, over = "x = 1\n" * 299, "x = 1\n" * 300
    folder = tree(tmp_path, {"cli/main.py": fits, "cli/engine.py": over})
    assert broken(folder) == [("cli/engine.py", "size")]


def test_a_function_over_60_lines_is_found(tmp_path: Path) -> None:
    fits = "def run():\n" + "    x = 1\n" * 59
    over = "async def run():\n" + "    x = 1\n" * 60
    folder = tree(tmp_path, {"cli/main.py": fits, "cli/engine.py": over})
    assert broken(folder) == [("cli/engine.py", "size")]


def test_a_line_over_110_characters_is_found(tmp_path: Path) -> None:
    fits, over = "#" * 110 + "\n", "#" * 111 + "\n"
    folder = tree(tmp_path, {"cli/main.py": purpose + fits, "cli/engine.py": purpose + over})
    assert broken(folder) == [("cli/engine.py", "size")]


def test_a_core_over_2000_lines_is_found(tmp_path: Path) -> None:
    files = {f"core/part{i}.py": "x = 1\n" * 249 for i in range(8)}
    imports = "".join(f"import headway.core.part{i}\n" for i in range(8))
    lawful = violations(tree(tmp_path / "fits", {**files, "cli/engine.py": imports}))
    over = violations(
        tree(tmp_path / "over", {**files, "core/__init__.py": "x = 1\n", "cli/engine.py": imports})
    )
    assert (lawful, [(v.file, v.rule) for v in over]) == ([], [("core", "size")])


def test_a_file_that_nobody_imports_is_found(tmp_path: Path) -> None:
    files = {
        "core/types.py": "x = 1\n",
        "core/attic.py": "x = 1\n",
        "cli/engine.py": "from headway.core.types import x\n",
    }
    assert broken(tree(tmp_path, files)) == [("core/attic.py", "unused file")]


def test_a_file_that_does_not_begin_with_its_purpose_is_found(tmp_path: Path) -> None:
    folder = tree(tmp_path, {"cli/engine.py": "# what it owns\nx = 1\n"})
    assert broken(folder) == [("cli/engine.py", "purpose")]


def test_torch_loaded_by_way_of_another_file_is_found(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("")
    files = {
        "__init__.py": "",
        "sim/__init__.py": "",
        "sim/run.py": "import headway.spec\n",
        "spec.py": "import torch\n",
    }
    assert "torch" in modules_loaded(tree(tmp_path, files), "sim")
