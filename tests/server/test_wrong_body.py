"""What a wrong body may cost: it is refused at its first mistake, and one of too many values unread."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from headway.server.body import most_values, parse
from headway.server.errors import ApiError
from headway.server.sampling import check_fields
from headway.server.schema import Abort, Chat, Completion, Detokenize, Tokenize
from headway.server.validation import unknown_fields, validate
from headway.server.wire import Facts

many = 3_000
wrong_lists: list[tuple[type[BaseModel], dict[str, Any]]] = [
    (Chat, {"messages": [1] * many}),
    (Chat, {"messages": [{"role": "user", "content": [1] * many}]}),
    (Chat, {"messages": [{"role": "user", "content": [{"type": "text", "text": 1}] * many}]}),
    (Chat, {"messages": [{"role": "user", "content": [1] * 3}] * many}),
    (Chat, {"messages": [{"role": "user", "content": [{"type": "text", **dict.fromkeys("abcdefgh", 1)}]}]}),
    (Tokenize, {"messages": [{"role": "user", "content": [1] * many}]}),
    (Detokenize, {"tokens": ["1"] * many}),
    (Abort, {"ids": [1] * 1_024}),
    (Completion, {"prompt": "a", "stop_token_ids": ["1"] * many}),
    (Completion, {"prompt": "a", "metadata": {str(i): 1 for i in range(many)}}),
    (Completion, {"prompt": ["a"] * many}),
    (Completion, {"prompt": "a", "stop": [1] * many}),
    (Completion, {"prompt": "a", "logit_bias": dict.fromkeys(map(str, range(many)), "1")}),
]


@pytest.mark.parametrize(("kind", "body"), wrong_lists, ids=lambda value: str(value)[:60])
def test_a_wrong_list_is_searched_for_its_first_mistake_only(
    kind: type[BaseModel], body: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError) as raised:
        kind.model_validate(body)
    assert raised.value.error_count() <= 3  # one for each way to read the field


def test_a_content_of_too_many_parts_is_refused() -> None:
    part = {"type": "text", "text": ""}
    with pytest.raises(ApiError, match="at most 1,024 parts"):
        validate(Chat, {"messages": [{"role": "user", "content": [part] * 1_025}]})


def test_a_text_part_may_carry_what_others_read() -> None:
    part = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}
    assert validate(Chat, {"messages": [{"role": "user", "content": [part]}]}).messages[0].as_text() == "a"


@pytest.mark.parametrize(
    "data",
    [
        b'{"prompt": [' + b"1," * most_values + b"1]}",
        b'{"prompt": [' + b'"",' * most_values + b'""]}',
        b'{"prompt": [' + b"[]," * most_values + b"1]}",
        b'{"prompt": "a\\"b\\\\", "x": [' + b"1," * most_values + b"1]}",
        b'{"x": [' + b",".join([b"[" * 500 + b"]" * 500] * (most_values // 500)) + b"]}",
    ],
    ids=["numbers", "texts", "lists", "after escapes", "nested"],
)
def test_a_body_of_too_many_values_is_refused_before_it_is_read(data: bytes) -> None:
    with pytest.raises(ApiError, match=f"{most_values:,} values") as raised:
        parse(data)
    assert raised.value.code == "too_many_values"


@pytest.mark.parametrize("text", [",", "[", "{", '\\",', "\\\\,", '\\\\\\",'])
def test_what_stands_in_a_text_is_no_value(text: str) -> None:
    body = b'{"prompt": "' + text.encode() * most_values + b'"}'
    assert len(parse(body)["prompt"]) >= most_values


def test_of_many_unknown_fields_the_first_by_name_are_named() -> None:
    body = validate(Completion, {"prompt": "a", **{f"x{i:04}": 1 for i in reversed(range(1_000))}})
    assert unknown_fields(body) == [f"x{i:04}" for i in range(16)]


def test_ids_longer_than_the_context_are_refused_before_they_are_looked_at() -> None:
    body = validate(Completion, {"prompt": [-1] * 11})
    with pytest.raises(ApiError, match=r"11 tokens.*the context holds 10") as raised:
        check_fields(body, Facts(vocab=5, max_model_len=10, block_size=4, blocks=9, max_queued=9))
    assert (raised.value.code, raised.value.param) == ("context_length_exceeded", "prompt")
