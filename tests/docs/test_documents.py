"""Documents say what is: tables equal the program's, files and flags that they name exist."""

import re
from pathlib import Path

import pytest

from headway.config import GROUPS, OPTIONS
from tests.speaking_model import write_speaking_model

root = Path(__file__).parents[2]
documents = sorted([root / "README.md", *(root / "docs").rglob("*.md")])
code_words = re.compile(r"`([^`\n]+)`")
is_path = re.compile(r"[\w-][\w/.-]*(\.(py|md|yaml|svg)|/)")


def options_table() -> str:
    lines = ["| flag | value | default | what it is |", "|---|---|---|---|"]
    for group in GROUPS:
        for option in (o for o in OPTIONS.values() if o.group == group and o.name != "model"):
            default = option.default_words
            shown = f"`{default}`" if str(option.default).lower() == default else default
            lines.append(f"| `{option.flag}` | {option.kind.metavar} | {shown} | {option.help} |")
    return "\n".join(lines)


def test_the_readmes_table_of_options_is_the_programs() -> None:
    assert options_table() in (root / "README.md").read_text(), f"the table should be:\n{options_table()}"


@pytest.mark.parametrize("document", documents, ids=lambda path: path.name)
def test_files_that_a_document_names_exist(document: Path) -> None:
    named = {word for word in code_words.findall(document.read_text()) if is_path.fullmatch(word)}
    places = (root, root / "src" / "headway", document.parent)
    missing = [word for word in sorted(named) if not any((place / word).exists() for place in places)]
    assert not missing


@pytest.mark.parametrize("document", documents, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", documents, ids=lambda path: path.name)
def test_flags_of_settings_that_a_document_names_exist(document: Path) -> None:
    own = {option.flag for option in OPTIONS.values()}
    named = set(re.findall(r"headway serve[^`\n]*?(--[a-z-]+)", document.read_text()))
    assert named <= own | {"--config", "--json", "--help"}


def test_the_readme_s_python_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", (root / "README.md").read_text(), flags=re.DOTALL)
    folder = write_speaking_model(tmp_path / "model")
    exec(program.replace('"smollm2"', repr(str(folder))), {})
    assert capsys.readouterr().out.count("Usage(") == 2


def test_the_readme_s_make_commands_exist() -> None:
    named = set(re.findall(r"\bmake ([a-z]+)", (root / "README.md").read_text()))
    rules = set(re.findall(r"^([a-z]+):", (root / "Makefile").read_text(), flags=re.MULTILINE))
    assert {"serve", "test", "check"} <= named <= rules


def test_a_request_s_life_names_every_file_it_passes_once_and_only_files_that_exist() -> None:
    text = (root / "docs" / "request-life.md").read_text()
    steps = re.findall(r"^(\d)\. ", text, flags=re.MULTILINE)
    assert steps == [str(n) for n in range(1, 9)]
    files = re.findall(r"`([\w/]+\.py)`", text)
    assert len(files) == len(set(files)) >= 8
    assert all((root / "src" / "headway" / file).exists() for file in files)
