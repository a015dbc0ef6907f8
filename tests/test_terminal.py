"""Tables say all that they hold, however wide the terminal."""

import pytest
from rich.table import Table

from headway.terminal import show_table


def table() -> Table:
    made = Table("device", "what binds", box=None)
    made.add_row("MI300X", "chat's first token, by the memory of keys and values " * 4)
    return made


def test_where_there_is_no_terminal_a_row_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(table())
    assert capsys.readouterr().out.count("\n") == 2


def test_a_narrow_terminal_cuts_nothing_off(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    show_table(table())
    told = capsys.readouterr().out
    assert "…" not in told
    assert told.count("memory") == 4
