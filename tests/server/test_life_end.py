"""How a server ends: by a signal, at any moment; with its engine, or its engine with it."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headway.server.engine_process import EngineProcess
from tests.server.scripted_engine import Scripted
from tests.server.scripted_server import Server, scripted_server
from tests.server.streams import events_of, open_streams
from tests.server.waiting import wait_for

slow = Scripted(step_s=0.05)
long_text = "ab " * 2_000_000  # takes seconds to tokenize


def test_on_sigterm_what_runs_is_finished_and_nothing_new_is_taken() -> None:
    with scripted_server(scripted=Scripted(step_s=0.01)) as server, open_streams(server, 2) as streams:
        server.terminate()
        wait_for(lambda: server.get("/ready").status_code == 503)
        assert server.get("/health").json()["status"] == "draining"
        assert server.post("/v1/completions", {"prompt": "a"}).status_code == 503
        assert [events_of(s)[-1]["choices"][0]["finish_reason"] for s in streams] == ["length"] * 2
        assert server.wait() == 0


def test_what_does_not_finish_in_time_ends_with_an_error_and_the_server_with_zero() -> None:
    with (
        scripted_server({"shutdown_timeout_s": 0.2}, slow) as server,
        open_streams(server, 2) as streams,
    ):
        server.terminate()
        assert all("shutting down" in events_of(s)[-1]["error"]["message"] for s in streams)
        assert server.wait() == 0


def test_the_engine_ends_with_its_server() -> None:
    with scripted_server() as server:
        server.process.kill()
        server.wait()
        wait_for(lambda: not _lives(server.engine_pid))


def test_the_engine_ends_with_its_server_even_while_it_loads() -> None:
    with scripted_server(scripted=Scripted(load_s=600.0), until="listening") as server:
        server.process.kill()
        server.wait()
        wait_for(lambda: not _lives(server.engine_pid))


@pytest.mark.slow
def test_what_is_being_tokenized_at_sigterm_is_answered() -> None:
    scripted = Scripted(max_model_len=1 << 25)
    with scripted_server({"body_bytes": 1 << 25}, scripted) as server, ThreadPoolExecutor(1) as threads:
        before_s, body = _cpu_s(server), {"prompt": long_text * 3}
        answer = threads.submit(server.http.post, "/tokenize", json=body, timeout=60)
        wait_for(lambda: _cpu_s(server) > before_s + 0.5)  # reading the body takes less
        server.terminate()
        assert answer.result().status_code == 200
        assert server.wait() == 0


def test_what_is_still_being_tokenized_when_the_time_is_over_is_told_so() -> None:
    scripted = Scripted(max_model_len=1 << 23)
    settings = {"shutdown_timeout_s": 0.0}
    with scripted_server(settings, scripted) as server, ThreadPoolExecutor(1) as threads:
        before_s = _cpu_s(server)
        body = {"prompt": long_text, "max_tokens": 1}
        answer = threads.submit(server.http.post, "/v1/completions", json=body, timeout=60)
        wait_for(lambda: _cpu_s(server) > before_s + 0.3)
        server.terminate()
        assert "shutting down" in answer.result().json()["error"]["message"]
        assert (answer.result().status_code, server.wait()) == (503, 0)


def test_an_engine_that_dies_while_the_server_drains_is_told_and_the_code_says_so(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with scripted_server(scripted=slow) as server, open_streams(server, 2) as streams:
        server.terminate()
        wait_for(lambda: server.get("/ready").status_code == 503)
        os.kill(server.engine_pid, signal.SIGKILL)
        assert all(events_of(stream)[-1]["error"]["code"] == "engine_gone" for stream in streams)
        assert server.wait() == 1
        assert "the engine ended unexpectedly" in capfd.readouterr().err


def test_a_second_signal_ends_everything_at_once() -> None:
    with scripted_server(scripted=slow) as server, open_streams(server, 2):
        server.terminate()
        wait_for(lambda: server.get("/ready").status_code == 503)
        server.terminate()
        assert server.wait() == 0
        assert not _lives(server.engine_pid)


def test_a_signal_before_the_engine_has_loaded_ends_both() -> None:
    with scripted_server(scripted=Scripted(load_s=600.0), until="listening") as server:
        wait_for(lambda: server.get("/health").status_code == 200)
        server.terminate()
        assert server.wait() == 0
        assert not _lives(server.engine_pid)


def test_an_engine_that_loads_ends_by_itself_when_it_is_hung_up_on() -> None:
    engine = EngineProcess(Scripted(load_s=600.0).command())
    assert engine.close(patience_s=60.0) == 1  # it was not killed


def test_an_engine_that_serves_ends_in_order_when_it_is_hung_up_on() -> None:
    engine = EngineProcess(Scripted().command())
    assert engine.connection.recv(1)  # it has loaded
    assert engine.close(patience_s=60.0) == 0


def test_a_command_that_is_not_there_is_an_error_and_leaves_nothing_open() -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(FileNotFoundError):
        EngineProcess(["/nowhere/at/all"])
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_server_and_engine_need_no_place_in_the_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ("long" * 30)  # a socket's name could not be as long
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    with scripted_server() as server:
        assert server.post("/v1/completions", {"prompt": "a"}).status_code == 200
        assert list(folder.iterdir()) == []


def _cpu_s(server: Server) -> float:
    """What all threads of the server have used."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _lives(pid: int) -> bool:
    """A process that has ended and that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
