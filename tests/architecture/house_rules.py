"""The rules of docs/design.md and docs/style.md that a machine can check, as functions over a package folder.

Owns the tables: who may import what, which names are banned where, how long things may be. Reads source only;
`modules_loaded` alone runs something, in a fresh interpreter.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

file_lines, function_lines, core_lines, line_characters = 300, 60, 2_000, 110


class May(NamedTuple):
    """What an area may import beside itself and the standard library: parts of headway, and libraries."""

    own: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()


everything_below = (
    "core", "spec", "clock", "rounding", "hub", "packaged", "batch", "terminal", "classes", "kinds", "config",
    "config_sources", "sizing", "profile", "model", "kernels", "executors", "text", "metrics", "server",
    "sim", "bench", "headlines", "plan", "tune", "fleet",
)  # fmt: skip
web = ("fastapi", "starlette", "pydantic", "pydantic_core", "uvicorn", "h11", "msgspec", "anyio")

# An area is the first name below headway: a folder or a file. One that is not here may import nothing.
import_table = {
    "__init__": May(("llm", "core.types")),
    "core": May(),
    "clock": May(),
    "rounding": May(),
    "classes": May(("core.slo",)),
    "kinds": May(("classes",)),
    "config": May(("classes", "core.slo", "kinds")),
    "config_sources": May(("config",), ("yaml",)),
    "sizing": May(("config", "core", "spec", "rounding")),
    "spec": May((), ("safetensors", "gguf")),
    "profile": May(("core.forecast", "core.types", "spec"), ("msgspec",)),
    "hub": May(("packaged", "spec"), ("huggingface_hub",)),
    "packaged": May(),
    "batch": May(),
    "terminal": May((), ("rich",)),
    "model": May(("spec", "core.types", "kernels"), ("torch", "numpy", "safetensors", "gguf")),
    "kernels": May(("spec", "core.types"), ("torch", "numpy")),
    "executors": May(("core", "spec", "model", "kernels", "config"), ("torch", "numpy")),
    "text": May(("spec",), ("tokenizers", "jinja2")),
    "metrics": May(("core.types", "core.slo"), ("prometheus_client",)),
    "server": May(("core.types", "core.slo", "core.ports", "classes", "text", "metrics"), web),
    "sim": May(
        ("core", "spec", "clock", "rounding", "profile", "metrics", "bench.workload", "bench.report"),
        ("yaml",),
    ),
    "bench": May(
        ("core.types", "core.slo", "profile", "metrics"), ("numpy", "httptools", "kneed", "msgspec", "plotly")
    ),
    "headlines": May(("sim", "bench", "core", "classes", "clock", "rounding")),
    "plan": May(("sim", "bench", "core")),
    "tune": May(("sim", "bench", "config")),
    "fleet": May(("server", "config"), ("ray",)),
    "build": May(everything_below, ("torch", *web)),
    "llm": May((*everything_below, "build"), ("rich",)),
    "cli": May((*everything_below, "build", "llm"), ("typer", "rich", "msgspec", "uvicorn")),
}

world = (
    "time",
    "datetime",
    "random",
    "secrets",
    "uuid",
    "logging",
    "os",
    "io",
    "pathlib",
    "sys",
    "subprocess",
    "socket",
)
processes = ("threading", "multiprocessing", "asyncio", "concurrent")
banned_modules = {"": ("pickle", "dill", "marshal", "shelve"), "core": world + processes, "sim": ("time",)}
banned_calls = {
    "": ("eval", "exec", "__import__"),
    "core": ("open", "print", "input", "hash"),
    **{area: ("print",) for area in import_table if area not in ("core", "cli")},
}

# Files that are run or looked up rather than imported: by the console script, by Python, by tests and
# benchmarks.
entrances = {
    "cli.main", "cli.engine", "sim.run", "sim.simple_roofline", "bench.conversations",
}  # fmt: skip

# Areas whose import must leave torch alone: the simulator's and the API process's.
torch_free = (
    "core",
    "spec",
    "clock",
    "rounding",
    "classes",
    "kinds",
    "config",
    "sizing",
    "profile",
    "sim",
    "server",
    "text",
    "metrics",
    "bench",
    "headlines",
    "plan",
)


@dataclass(frozen=True, slots=True)
class Violation:
    file: str
    line: int
    rule: str
    message: str


class Import(NamedTuple):
    module: str  # dotted; `from headway.core import types` gives headway.core.types where that is a file
    line: int


class Source(NamedTuple):
    name: str  # dotted, below headway; a folder's __init__ goes by the folder's name, the package's own as is
    path: Path
    file: str  # for messages
    tree: ast.Module
    lines: list[str]

    @property
    def area(self) -> str:
        return self.name.split(".")[0]


def violations(package: Path) -> list[Violation]:
    """Everything in a package folder that breaks a rule, in order of file and line."""
    sources = [_read(path, package) for path in sorted(package.rglob("*.py"))]
    found = [v for source in sources for check in per_file for v in check(source, package)]
    found += [*unused_files(sources, package), *long_core(sources)]
    return sorted(found, key=lambda v: (v.file, v.line, v.rule))


def size_violations(folder: Path) -> list[Violation]:
    """What is too long, or does not say its purpose, in a folder outside the package: tests, benchmarks."""
    sources = [_read(path, folder) for path in sorted(folder.rglob("*.py"))]
    return [v for source in sources for check in (sizes_kept, purpose_stated) for v in check(source, folder)]


def _read(path: Path, package: Path) -> Source:
    text = path.read_text(encoding="utf-8")
    parts = list(path.relative_to(package).with_suffix("").parts)
    if parts[-1] == "__init__" and len(parts) > 1:
        parts.pop()
    return Source(".".join(parts), path, str(path.relative_to(package)), ast.parse(text), text.splitlines())


def imports(source: Source, package: Path) -> Iterator[Import]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            for alias in node.names:
                deeper = f"{base}.{alias.name}"
                yield Import(deeper if _is_file(deeper, package) else base, node.lineno)


def _is_file(module: str, package: Path) -> bool:
    head, *rest = module.split(".")
    path = package.joinpath(*rest)
    return head == "headway" and (path.with_suffix(".py").is_file() or (path / "__init__.py").is_file())


def import_table_kept(source: Source, package: Path) -> Iterator[Violation]:
    may = import_table.get(source.area, May())
    for module, line in imports(source, package):
        head, _, below = module.partition(".")
        if not head:
            yield Violation(source.file, line, "import table", "imports are absolute")
        elif head == "headway":
            allowed = any(below == own or below.startswith(own + ".") for own in (source.area, *may.own))
            if not allowed:
                message = f"{source.area} may not import headway.{below}"
                yield Violation(source.file, line, "import table", message)
        elif head not in sys.stdlib_module_names and head not in may.libraries:
            yield Violation(source.file, line, "import table", f"{source.area} may not import {head}")


def banned_names_absent(source: Source, package: Path) -> Iterator[Violation]:
    modules = banned_modules[""] + banned_modules.get(source.area, ())
    calls = banned_calls[""] + banned_calls.get(source.area, ())
    for module, line in imports(source, package):
        if module.split(".")[0] in modules:
            yield Violation(source.file, line, "banned name", f"{source.area} may not use {module}")
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Name) and node.id in calls and isinstance(node.ctx, ast.Load):
            yield Violation(source.file, node.lineno, "banned name", f"{source.area} may not use {node.id}")


def sizes_kept(source: Source, package: Path) -> Iterator[Violation]:
    if len(source.lines) > file_lines:
        message = f"{len(source.lines)} lines; a file has at most {file_lines}"
        yield Violation(source.file, len(source.lines), "size", message)
    for number, text in enumerate(source.lines, 1):
        if len(text) > line_characters:
            message = f"{len(text)} characters; a line has at most {line_characters}"
            yield Violation(source.file, number, "size", message)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            length = node.end_lineno - node.lineno + 1
            if length > function_lines:
                message = f"{node.name} has {length} lines; a function has at most {function_lines}"
                yield Violation(source.file, node.lineno, "size", message)


def purpose_stated(source: Source, package: Path) -> Iterator[Violation]:
    if source.tree.body and not ast.get_docstring(source.tree):
        yield Violation(source.file, 1, "purpose", "the first lines of a file say what it owns")


per_file = (import_table_kept, banned_names_absent, sizes_kept, purpose_stated)


def unused_files(sources: list[Source], package: Path) -> Iterator[Violation]:
    used = {i.module.removeprefix("headway.") for s in sources for i in imports(s, package)} | entrances
    for source in sources:
        if source.path.name not in ("__init__.py", "__main__.py") and source.name not in used:
            yield Violation(source.file, 1, "unused file", "nothing imports it, and it is no entrance")


def long_core(sources: list[Source]) -> Iterator[Violation]:
    total = sum(len(s.lines) for s in sources if s.area == "core")
    if total > core_lines:
        yield Violation("core", 1, "size", f"{total} lines; all of core has at most {core_lines}")


def modules_loaded(package: Path, area: str) -> set[str]:
    """Every module that is loaded once all of an area's files have been imported, in a fresh interpreter."""
    root = package / area
    files = sorted(root.rglob("*.py")) if root.is_dir() else [root.with_suffix(".py")]
    names = ["headway." + ".".join(f.relative_to(package).with_suffix("").parts) for f in files if f.exists()]
    lines = ["import sys", f"sys.path.insert(0, {str(package.parent)!r})", *(f"import {n}" for n in names)]
    code = "\n".join([*lines, "print(*sorted(sys.modules))"]).replace(".__init__", "")
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(ran.stdout.split())
