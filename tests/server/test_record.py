"""Recordings: what is written reads back equal as a trace, tells no text, and never holds serving up."""

import errno
import json
import logging
import stat
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headway.bench.traces import read_trace
from headway.core.types import Finished, Reason, Refusal, Refused, Request, Sampling, Shares
from headway.server import record as record_module
from headway.server.record import Recorder, prefix_hashes, recording
from tests.server.scripted_engine import Scripted
from tests.server.scripted_server import Server, scripted_server

FIELDS = {"at_s", "prompt_tokens", "output_tokens", "max_tokens", "class", "finish_reason"}


def asking(id: int, prompt: Iterable[int] = (1,), at_s: float = 100.0, **fields: object) -> Request:
    sampling = Sampling(max_tokens=int(fields.pop("max_tokens", 1000)))  # type: ignore[call-overload]
    return Request(id, array("i", prompt), sampling, at_s, **fields)  # type: ignore[arg-type]


def ended(id: int, tokens: int = 5, choice: int = 0, reason: Reason = Reason.STOP) -> Finished:
    return Finished(id, choice, reason, 101.0, 1, 0, tokens, Shares())


def refused(id: int) -> Refused:
    return Refused(id, 101.0, Refusal.OVERLOADED, "come again")


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    late_s = monotonic() + seconds
    while not condition():
        assert monotonic() < late_s
        sleep(0.005)


requests = st.lists(
    st.tuples(
        st.floats(0, 1e6),
        st.lists(st.integers(0, 1 << 30), min_size=1, max_size=70),
        st.integers(1, 900),
        st.sampled_from(["chat", "batch", "gold"]),
        st.binary(max_size=4),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(requests, st.randoms(use_true_random=False))
def test_what_is_recorded_reads_back_equal(
    tmp_path_factory: pytest.TempPathFactory, drawn: list, order: object
) -> None:
    path = tmp_path_factory.mktemp("record") / "f.jsonl"
    made = [
        asking(id, prompt, 50.0 + at_s, service_class=name, cache_salt=salt)
        for id, (at_s, prompt, _, name, salt) in enumerate(drawn)
    ]
    with recording(path, 50.0) as recorder:
        assert recorder is not None
        for request in made:
            recorder.opened(request)
        ids = list(range(len(made)))
        order.shuffle(ids)  # type: ignore[attr-defined]
        for id in ids:
            recorder.ended(ended(id, drawn[id][2]))
        key = recorder._key
    trace = read_trace(path)
    assert trace.left_out == 0
    read = sorted((round(a.at_s, 6), *a[1:5], _hashes(a.prefix)) for a in trace.requests)
    asked = [
        (
            round(request.arrival_s - 50.0, 6),
            request.service_class,
            len(request.prompt),
            drawn[request.id][2],
            1000,
            prefix_hashes(request.prompt, request.cache_salt, key),
        )
        for request in made
    ]
    assert read == sorted(asked)


def _hashes(prefix: object) -> list[str]:
    return [] if prefix is None else [f"{one:016x}" for one in prefix.hashes]  # type: ignore[attr-defined]


def test_prompts_have_the_hashes_of_the_blocks_that_they_share() -> None:
    key, other = b"k" * 32, b"l" * 32
    long, fork = array("i", range(70)), array("i", [*range(40), 9, *range(41, 70)])
    hashes = prefix_hashes(long, b"", key)
    assert len(hashes) == 4
    assert len(set(hashes)) == 4
    assert prefix_hashes(fork, b"", key)[:2] == hashes[:2]
    assert not set(prefix_hashes(fork, b"", key)[2:]) & set(hashes)
    assert not set(prefix_hashes(long, b"tenant", key)) & set(hashes)
    assert not set(prefix_hashes(long, b"", other)) & set(hashes)
    assert prefix_hashes(array("i", range(15)), b"", key) == []
    assert len(prefix_hashes(array("i", range(16)), b"", key)) == 1


def test_two_recordings_of_the_same_prompt_share_no_hash_and_tell_no_more(tmp_path: Path) -> None:
    told = []
    for name in ("a", "b"):
        with recording(tmp_path / name, 0.0) as recorder:
            assert recorder is not None
            recorder.opened(asking(1, range(32)))
            recorder.ended(ended(1))
        (line,) = lines(tmp_path / name)
        assert set(line) == FIELDS | {"prefix", "block_tokens"}
        told.append(set(line["prefix"]))
    assert not told[0] & told[1]


def test_choices_refusals_and_what_is_left_open_have_lines(tmp_path: Path) -> None:
    path = tmp_path / "f"
    with recording(path, 0.0) as recorder:
        assert recorder is not None
        recorder.opened(asking(1, choices=2))
        recorder.opened(asking(2))
        recorder.opened(asking(3, choices=2))
        recorder.ended(ended(1, 7, choice=1))
        recorder.ended(refused(2))
        recorder.ended(ended(1, 3, choice=0, reason=Reason.CANCELLED))
        recorder.ended(ended(3, 4))
    assert [(line["finish_reason"], line["output_tokens"]) for line in lines(path)] == [
        ("stop", 7),
        ("overloaded", 0),
        ("cancelled", 3),
        ("stop", 4),
        ("error", 0),
    ]
    trace = read_trace(path)
    assert (len(trace.requests), trace.left_out) == (3, 2)


def test_the_file_is_new_and_its_owner_s_alone_and_goes_if_nothing_was_written(tmp_path: Path) -> None:
    path, link = tmp_path / "f", tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(FileExistsError), recording(link, 0.0):
        pass
    with recording(path, 0.0):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with pytest.raises(FileExistsError), recording(path, 0.0):
            pass
    assert not path.exists()
    with recording(None, 0.0) as recorder:
        assert recorder is None


def test_a_line_is_in_the_file_soon_after_its_end(tmp_path: Path) -> None:
    path = tmp_path / "f"
    with recording(path, 0.0) as recorder:
        assert recorder is not None
        for id in range(3):
            recorder.opened(asking(id))
            recorder.ended(ended(id))
            until(lambda expected=id + 1: path.read_bytes().count(b"\n") == expected)


class SmallDisk(FileIO):
    """Takes so many bytes."""

    left = 1000

    def write(self, data: bytes) -> int:  # type: ignore[override]
        if not self.left:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = super().write(data[: self.left])
        self.left -= taken
        return taken


class SlowDisk(FileIO):
    """Takes nothing until it may."""

    may: Event

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.may.wait(20)
        return super().write(data)


def test_a_full_disk_is_said_once_and_leaves_whole_lines(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "f"
    with SmallDisk(path, "wb") as file:
        recorder = Recorder(file, "f", 0.0)
        for id in range(50):
            recorder.opened(asking(id))
            recorder.ended(ended(id))
        until(lambda: recorder.stopped)
        recorder.opened(asking(99))
        recorder.ended(ended(99))
        recorder.close()
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(said) == 1
    assert "f has stopped after" in said[0]
    assert "No space left on device" in said[0]
    assert len(read_trace(path).requests) == recorder.lines > 3
    assert path.read_bytes().endswith(b"}\n")


def test_a_device_that_is_always_full_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    with FileIO("/dev/full", "wb") as file:
        recorder = Recorder(file, "/dev/full", 0.0)
        recorder.opened(asking(1))
        recorder.ended(ended(1))
        until(lambda: recorder.stopped)
        recorder.close()
    assert caplog.text.count("has stopped after 0 lines") == 1


def test_a_slow_disk_holds_nobody_up_and_what_it_loses_is_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_module, "most_pending", 100)
    with SlowDisk(tmp_path / "f", "wb") as file:
        file.may = Event()
        recorder = Recorder(file, "f", 0.0)
        begun_s = monotonic()
        for id in range(2000):
            recorder.opened(asking(id))
            recorder.ended(ended(id))
        assert monotonic() - begun_s < 1.0
        file.may.set()
        recorder.close()
    assert recorder.lost + recorder.lines == 2000
    assert 100 <= recorder.lines <= 700
    assert caplog.text.count("the disk is too slow, lines are being lost") == 1
    assert f"{recorder.lost} lines were lost" in caplog.text


@contextmanager
def recorded_server(path: Path, **scripted: object) -> Iterator[Server]:
    with scripted_server({"record": str(path)}, Scripted(**scripted)) as server:  # type: ignore[arg-type]
        yield server


def test_a_server_records_answers_refusals_and_clients_that_left(tmp_path: Path) -> None:
    path, secret = tmp_path / "f", "a secret that is long enough to fill several of its blocks"
    with recorded_server(path, step_s=0.02, max_seqs=1, max_queued=1) as server:
        first = server.post("/v1/completions", {"prompt": secret, "max_tokens": 8})
        assert first.status_code == 200
        until(lambda: path.read_bytes().count(b"\n") == 1)
        Thread(target=_leave, args=(server, secret)).start()
        until(lambda: server.metrics()['vllm:num_requests_running{engine="0",model_name="byte-model"}'] == 1)
        waiting = Thread(target=server.post, args=("/v1/completions", {"prompt": "b", "max_tokens": 2}))
        waiting.start()
        until(lambda: server.metrics()['vllm:num_requests_waiting{engine="0",model_name="byte-model"}'] == 1)
        assert server.post("/v1/completions", {"prompt": "c", "max_tokens": 2}).status_code == 429
        waiting.join()
        until(lambda: path.read_bytes().count(b"\n") == 4)
        server.terminate()
        assert server.wait() == 0
    found = lines(path)
    assert sorted(line["finish_reason"] for line in found) == ["cancelled", "length", "length", "overloaded"]
    assert found[0]["prompt_tokens"] == len(secret)
    assert (found[0]["output_tokens"], found[0]["max_tokens"]) == (8, 8)
    same = [line["prefix"] for line in found if line["prompt_tokens"] == len(secret)]
    assert len(same) == 2
    assert same[0] == same[1]
    assert b"secret" not in path.read_bytes()
    assert [a.at_s for a in read_trace(path).requests] == sorted(line["at_s"] for line in found)[:3]


def _leave(server: Server, prompt: str) -> None:
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{server.url}/v1/completions", json={"prompt": prompt, "max_tokens": 400}, timeout=0.5)
