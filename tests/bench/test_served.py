"""Whose the cores were while something was measured."""

import os
import time
from pathlib import Path

import pytest

from headway.bench.served import Server, Usage, disturbance, usage


def test_what_others_had_is_what_is_neither_ours_nor_idle() -> None:
    before, after = Usage(10.0, 5.0, 100.0, 1.0), Usage(20.0, 20.0, 117.0, 3.0)
    assert disturbance(before, after) == {"others": 0.2, "stolen": 0.2}
    assert disturbance(None, after) == {}


def test_a_server_s_processes_are_found_with_their_time(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text("cpu  100 10 50 900 5 3 2 7 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n")
    for pid, parent in ((10, 1), (11, 10), (12, 1), (13, 11)):
        (tmp_path / str(pid)).mkdir()
        line = f"{pid} (a (strange) name) S {parent} {pid} {pid} 0 -1 4 0 0 0 0 200 100 0 0"
        (tmp_path / str(pid) / "stat").write_text(line)
    found = usage(Server("", tmp_path, 10, "m", 0), tmp_path)
    tick_s = 1.0 / os.sysconf("SC_CLK_TCK")
    assert found is not None
    assert found.busy_s == pytest.approx(165 * tick_s)
    assert found.stolen_s == pytest.approx(7 * tick_s)
    assert found.own_s == pytest.approx(900 * tick_s + time.process_time(), abs=0.5)


def test_elsewhere_nothing_is_known(tmp_path: Path) -> None:
    assert usage(Server("", tmp_path, 1, "m", 0), tmp_path) is None
