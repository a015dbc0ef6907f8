"""OpenAI's batch files: what is read, what is refused by line and field, where an interrupted run goes on."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from headway.batch import BadFile, Item, answer_all, answer_line, read_requests, resume

good = {"custom_id": "a", "method": "POST", "url": "/v1/completions", "body": {"prompt": "x"}}


def file_of(tmp_path: Path, *lines: object) -> Path:
    path = tmp_path / "requests.jsonl"
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return path


def test_lines_are_read_in_order_and_empty_ones_passed_over(tmp_path: Path) -> None:
    path = file_of(tmp_path, good, "", {**good, "custom_id": "b"})
    assert list(read_requests(path)) == [
        Item("a", "/v1/completions", {"prompt": "x"}),
        Item("b", "/v1/completions", {"prompt": "x"}),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not a JSON object"),
        ({**good, "custom_id": 1}, "custom_id: not a text"),
        ({**good, "custom_id": ""}, "custom_id: not a text"),
        ({**good, "custom_id": "s\ud800"}, "custom_id: half a character"),
        ({**good, "custom_id": "z"}, "custom_id: 'z' is taken by line 1"),
        ({**good, "method": "GET"}, "method: not POST"),
        ({**good, "url": "/v1/embeddings"}, "url: not one of /v1/chat/completions, /v1/completions"),
        ({**good, "body": "x"}, "body: not a JSON object"),
        ({**good, "body": {"stream": True}}, "body.stream: "),
    ],
)
def test_a_broken_line_is_refused_by_file_line_and_field(tmp_path: Path, line: object, message: str) -> None:
    path = file_of(tmp_path, {**good, "custom_id": "z"}, line)
    with pytest.raises(BadFile) as refused:
        list(read_requests(path))
    assert str(refused.value).startswith(f"{path} line 2: {message}")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="No such file"):
        list(read_requests(tmp_path / "absent"))


def test_an_answer_carries_its_request_s_custom_id_and_the_server_s_status_and_body() -> None:
    line = answer_line(Item("a", "/v1/completions", {}), 400, {"error": {"message": "größer"}})
    assert line.endswith(b"\n")
    answer = json.loads(line)
    assert answer["custom_id"] == "a"
    assert answer["response"]["status_code"] == 400
    assert answer["response"]["body"] == {"error": {"message": "größer"}}
    assert answer["error"] is None


def test_an_answer_is_text_whatever_it_quotes() -> None:
    line = answer_line(Item("a", "/v1/completions", {}), 400, {"error": "\ud800"})
    assert json.loads(line.decode())["response"]["body"] == {"error": "\ud800"}


def test_a_run_goes_on_after_the_last_whole_line(tmp_path: Path) -> None:
    answers = tmp_path / "answers.jsonl"
    first, second = (answer_line(Item(id, "/v1/completions", {}), 200, {}) for id in "ab")
    for cut in range(len(second) - 1):
        answers.write_bytes(first + second[:cut])
        assert resume(answers) == {"a"}
        assert answers.read_bytes() == first


def test_every_answer_is_kept_whatever_blank_lines_stand_between(tmp_path: Path) -> None:
    answers = tmp_path / "answers.jsonl"
    first, second, third = (answer_line(Item(id, "/v1/completions", {}), 200, {}) for id in "abc")
    answers.write_bytes(first + b"\n  \r\n" + second + b"\n")
    assert resume(answers) == {"a", "b"}
    assert answers.read_bytes() == first + b"\n  \r\n" + second + b"\n"
    answers.write_bytes(first + b"\n" + second + third[:20])
    assert resume(answers) == {"a", "b"}
    assert answers.read_bytes() == first + b"\n" + second


@pytest.mark.parametrize(
    "last", [b'{"custom_id": "b", "response": {}}', answer_line(Item("b", "", {}), 200, {})[:-1]]
)
def test_a_whole_last_line_that_lacks_only_its_end_is_kept_and_ended(tmp_path: Path, last: bytes) -> None:
    answers = tmp_path / "answers.jsonl"
    answers.write_bytes(b'{"custom_id": "a"}\n' + last)
    assert resume(answers) == {"a", "b"}
    assert answers.read_bytes() == b'{"custom_id": "a"}\n' + last + b"\n"


def test_nothing_is_answered_where_there_is_no_file(tmp_path: Path) -> None:
    assert resume(tmp_path / "answers.jsonl") == set()
    assert not (tmp_path / "answers.jsonl").exists()


@pytest.mark.parametrize(
    "text", ["my diary\n", "my diary", "{}\n", '{"custom_id": 3}\n', '{"custom_id": "a"']
)
def test_a_file_of_something_else_is_left_alone(tmp_path: Path, text: str) -> None:
    other = tmp_path / "other.txt"
    other.write_text(text)
    with pytest.raises(BadFile, match="line 1"):
        resume(other)
    assert other.read_text() == text


def test_only_answers_that_stay_true_are_written(tmp_path: Path) -> None:
    statuses = {"a": 200, "b": 400, "c": 404, "d": 408, "e": 429, "f": 500, "g": 503}

    async def post(url: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        return statuses[body["prompt"]], {}

    items = [Item(id, "/v1/completions", {"prompt": id}) for id in statuses]
    told: list[int] = []
    with (tmp_path / "answers.jsonl").open("wb") as out:
        asyncio.run(answer_all(post, items, out, 3, told.append))
    assert sorted(told) == sorted(statuses.values())
    assert resume(tmp_path / "answers.jsonl") == {"a", "b", "c"}
