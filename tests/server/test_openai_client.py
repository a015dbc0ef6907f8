"""OpenAI's own client against the server, and the raw JSON held against that client's types."""

import json
from typing import Any

import openai
import pytest
from openai.types import Completion, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.server.scripted_server import Server
from tests.server.server_process import model
from tests.server.strict_openai import model_extras, strictly

hello: list[Any] = [{"role": "user", "content": "hello"}]


def sse(text: str) -> list[str]:
    """The data of each event, comments left out."""
    return [line.removeprefix("data: ") for line in text.split("\n\n") if line.startswith("data: ")]


def test_models_are_listed_and_retrieved(server: Server) -> None:
    client = server.client()
    assert [each.id for each in client.models.list()] == [model]
    assert client.models.retrieve(model).id == model
    strictly(Model, server.get("/v1/models").json()["data"][0], model_extras)


def test_a_chat_answers_with_usage_and_timings_that_add_up(server: Server) -> None:
    answer = server.client().chat.completions.create(model=model, messages=hello, temperature=0)
    assert answer.choices[0].message.content == "hello>"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (6, 7)
    timings = answer.model_extra["timings"]
    shares = ("queue", "prefill", "interference", "decode", "preemption", "host")
    assert set(timings) == {f"{share}_ms" for share in (*shares, "total")}
    assert sum(timings[f"{share}_ms"] for share in shares) == pytest.approx(timings["total_ms"], abs=1e-6)


def test_a_completion_continues_text(server: Server) -> None:
    answer = server.client().completions.create(model=model, prompt="abc", temperature=0)
    assert (answer.choices[0].text, answer.choices[0].finish_reason) == ("abc", "stop")


def test_a_completion_without_max_tokens_has_sixteen(server: Server) -> None:
    answer = server.client().completions.create(model=model, prompt="a" * 50, temperature=0)
    assert (answer.choices[0].text, answer.choices[0].finish_reason) == ("a" * 16, "length")


def test_max_completion_tokens_beats_max_tokens(server: Server) -> None:
    answer = server.client().chat.completions.create(
        model=model, messages=hello, temperature=0, max_tokens=5, max_completion_tokens=2
    )
    assert answer.choices[0].message.content == "he"


def test_a_stream_comes_in_the_order_that_clients_expect(server: Server) -> None:
    body = {"model": model, "messages": hello, "temperature": 0, "stream": True}
    answer = server.post("/v1/chat/completions", {**body, "stream_options": {"include_usage": True}})
    *events, last = sse(answer.text)
    assert last == "[DONE]"
    chunks = [strictly(ChatCompletionChunk, json.loads(event)) for event in events]
    first, *pieces, ending, usage = [chunk.model_dump() for chunk in chunks]
    assert first["choices"][0]["delta"]["role"] == "assistant"
    assert "".join(piece["choices"][0]["delta"]["content"] for piece in pieces) == "hello>"
    assert all(piece["choices"][0]["finish_reason"] is None for piece in pieces)
    assert ending["choices"][0]["finish_reason"] == "stop"
    assert not ending["choices"][0]["delta"]["content"]
    assert usage["choices"] == []
    assert usage["usage"]["total_tokens"] == 13
    assert all(chunk["usage"] is None for chunk in (first, *pieces, ending))
    assert answer.headers["content-type"].startswith("text/event-stream")


def test_usage_can_be_asked_for_on_every_chunk(server: Server) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    body = {"prompt": "abc", "temperature": 0, "stream": True, "stream_options": options}
    *events, _ = sse(server.post("/v1/completions", body).text)
    counts = [json.loads(event)["usage"]["completion_tokens"] for event in events]
    assert counts == sorted(counts)
    assert counts[-1] == 4


def test_the_client_streams_text_and_usage(server: Server) -> None:
    chunks = list(
        server.client().chat.completions.create(
            model=model,
            messages=hello,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "hello>"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 7


def test_streamed_completions_carry_the_client_types(server: Server) -> None:
    body = {"prompt": "abc", "temperature": 0, "stream": True, "logprobs": 2}
    *events, last = sse(server.post("/v1/completions", body).text)
    parsed = [json.loads(event) for event in events]
    *before, reason = [each["choices"][0]["finish_reason"] for each in parsed]
    assert (set(before), reason) == ({None}, "stop")
    for each in parsed:  # the client's type for whole answers has no None, as OpenAI's own chunks have
        each["choices"][0]["finish_reason"] = "stop"
    chunks = [strictly(Completion, each) for each in parsed]
    assert last == "[DONE]"
    assert "".join(chunk.choices[0].text for chunk in chunks) == "abc"
    assert json.loads(events[-1])["timings"]["total_ms"] > 0


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_is_the_same_streamed_and_not(server: Server, stream: bool) -> None:
    body = {"prompt": "héllo wörld 😀", "temperature": 0, "max_tokens": 64, "stream": stream}
    answer = server.post("/v1/completions", body)
    pieces = [json.loads(e) for e in sse(answer.text)[:-1]] if stream else [answer.json()]
    assert "".join(piece["choices"][0]["text"] for piece in pieces) == "héllo wörld 😀"


def test_chat_logprobs_name_each_token_and_its_alternatives(server: Server) -> None:
    answer = server.post(
        "/v1/chat/completions",
        {"messages": hello, "temperature": 0, "max_tokens": 2, "logprobs": True, "top_logprobs": 2},
    ).json()
    content = strictly(ChatCompletion, answer).model_dump()["choices"][0]["logprobs"]["content"]
    assert [(entry["token"], entry["logprob"], entry["bytes"]) for entry in content] == [
        ("h", -0.5, [104]),
        ("e", -0.5, [101]),
    ]
    assert [top["token"] for top in content[0]["top_logprobs"]] == ["h", "i"]


def test_completion_logprobs_with_echo_score_the_prompt(server: Server) -> None:
    body = {"prompt": "ab", "temperature": 0, "max_tokens": 1, "logprobs": 1, "echo": True}
    choice = server.post("/v1/completions", body).json()["choices"][0]
    assert choice["text"] == "aba"
    assert choice["logprobs"]["tokens"] == ["a", "b", "a"]
    assert choice["logprobs"]["token_logprobs"] == [None, -0.5, -0.5]
    assert choice["logprobs"]["text_offset"] == [0, 1, 2]
    assert choice["logprobs"]["top_logprobs"][0] is None


def test_a_stream_that_echoes_begins_with_its_prompt(server: Server) -> None:
    body = {"prompt": ["ab", [99]], "temperature": 0, "echo": True, "stream": True, "max_tokens": 2}
    chunks = [json.loads(e)["choices"][0] for e in sse(server.post("/v1/completions", body).text)[:-1]]
    texts = ["".join(c["text"] for c in chunks if c["index"] == index) for index in (0, 1)]
    assert texts == ["abab", "cc"]


def test_n_gives_choices_that_differ_and_usage_counts_the_prompt_once(server: Server) -> None:
    body = {"prompt": "abcd", "n": 3, "seed": 5, "max_tokens": 8}
    answer = strictly(Completion, server.post("/v1/completions", body).json())
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert len({choice.text for choice in answer.choices}) == 3
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (4, 24)


def test_several_prompts_give_answers_in_their_order(server: Server) -> None:
    prompts = ["one", "two", "three"]
    answer = server.client().completions.create(model=model, prompt=prompts, temperature=0)
    assert [choice.text for choice in answer.choices] == prompts


def test_prompts_may_be_token_ids(server: Server) -> None:
    client = server.client()
    one = client.completions.create(model=model, prompt=[104, 105], temperature=0)
    two = client.completions.create(model=model, prompt=[[104, 105], [106]], temperature=0)
    assert one.choices[0].text == "hi"
    assert [choice.text for choice in two.choices] == ["hi", "j"]


def test_a_seed_repeats_an_answer_and_its_absence_does_not(server: Server) -> None:
    def text(**options: Any) -> str:
        answer = server.client().completions.create(model=model, prompt="abc", max_tokens=12, **options)
        return answer.choices[0].text

    assert text(seed=1) == text(seed=1)
    assert text(seed=1) != text(seed=2)
    assert text() != text()


@pytest.mark.parametrize("stream", [False, True])
def test_a_stop_string_ends_the_answer_and_never_shows(server: Server, stream: bool) -> None:
    body = {"prompt": "one two three", "temperature": 0, "max_tokens": 64, "stop": ["wo t"], "stream": stream}
    answer = server.post("/v1/completions", body)
    pieces = [json.loads(e) for e in sse(answer.text)[:-1]] if stream else [answer.json()]
    assert "".join(piece["choices"][0]["text"] for piece in pieces) == "one t"
    assert pieces[-1]["choices"][0]["finish_reason"] == "stop"


def test_usage_ends_where_the_stop_string_was_found(server: Server) -> None:
    body = {"prompt": "one two three", "temperature": 0, "max_tokens": 64, "stop": "wo t"}
    assert server.post("/v1/completions", body).json()["usage"]["completion_tokens"] == len("one two t")


def test_text_held_for_a_stop_string_comes_at_the_end(server: Server) -> None:
    body = {"prompt": "one two", "temperature": 0, "max_tokens": 64, "stop": "two three"}
    assert server.post("/v1/completions", body).json()["choices"][0]["text"] == "one two"


def test_stop_token_ids_end_the_answer_without_their_text(server: Server) -> None:
    body = {"prompt": "abcd", "temperature": 0, "stop_token_ids": [ord("c")]}
    choice = server.post("/v1/completions", body).json()["choices"][0]
    assert (choice["text"], choice["finish_reason"]) == ("ab", "stop")


def test_ignore_eos_goes_on_to_max_tokens(server: Server) -> None:
    body = {"prompt": "ab", "temperature": 0, "ignore_eos": True, "max_tokens": 7}
    choice = server.post("/v1/completions", body).json()["choices"][0]
    assert (choice["text"], choice["finish_reason"]) == ("ab ab a", "length")


def test_min_tokens_puts_the_end_off(server: Server) -> None:
    body = {"prompt": "ab", "temperature": 0, "min_tokens": 5, "max_tokens": 16}
    assert server.post("/v1/completions", body).json()["choices"][0]["text"] == "ab ab"


def test_logit_bias_reaches_the_engine(server: Server) -> None:
    body = {"prompt": "ab", "temperature": 0, "logit_bias": {"120": 100}, "max_tokens": 3}
    assert server.post("/v1/completions", body).json()["choices"][0]["text"] == "xxx"


def test_a_chat_without_max_tokens_may_fill_the_context(server: Server) -> None:
    body = {"messages": [{"role": "user", "content": "x" * 9}], "ignore_eos": True, "temperature": 0}
    assert server.post("/v1/chat/completions", body).json()["usage"]["total_tokens"] == 512


def test_parts_of_text_and_a_developer_are_understood(server: Server) -> None:
    messages = [
        {"role": "developer", "content": "be "},
        {"role": "user", "content": [{"type": "text", "text": "brief"}]},
    ]
    answer = server.post("/v1/chat/completions", {"messages": messages, "temperature": 0}).json()
    assert strictly(ChatCompletion, answer).choices[0].message.content == "be brief>"


def test_the_second_same_prompt_finds_its_tokens_cached(server: Server) -> None:
    body = {"prompt": "cache me, I am longer than a block", "temperature": 0, "max_tokens": 1}
    details = [server.post("/v1/completions", body).json()["usage"]["prompt_tokens_details"] for _ in "ab"]
    assert [detail["cached_tokens"] for detail in details] == [0, 32]


def test_a_cache_salt_keeps_prompts_apart(server: Server) -> None:
    body = {"prompt": "salted, and also longer than a block", "temperature": 0, "max_tokens": 1}
    for salt in ("mine", "yours"):
        usage = server.post("/v1/completions", {**body, "cache_salt": salt}).json()["usage"]
        assert usage["prompt_tokens_details"]["cached_tokens"] == 0


def test_errors_become_the_clients_exceptions(server: Server) -> None:
    client = server.client()
    with pytest.raises(openai.NotFoundError):
        client.completions.create(model="another", prompt="a")
    with pytest.raises(openai.BadRequestError, match="temperature"):
        client.completions.create(model=model, prompt="a", temperature=9)


def test_a_sequence_that_fails_in_the_engine_is_an_error_and_harms_no_other(server: Server) -> None:
    client = server.client()
    with pytest.raises(openai.InternalServerError):
        client.completions.create(model=model, prompt="\x07")
    with pytest.raises(openai.APIError):
        list(client.completions.create(model=model, prompt="\x07", stream=True))
    assert client.completions.create(model=model, prompt="ok", temperature=0).choices[0].text == "ok"


def test_tokenize_and_detokenize_undo_each_other(server: Server) -> None:
    tokens = server.post("/tokenize", {"prompt": "héllo"}).json()
    assert tokens == {"count": 6, "max_model_len": 512, "tokens": list("héllo".encode())}
    assert server.post("/detokenize", {"tokens": tokens["tokens"]}).json() == {"prompt": "héllo"}


def test_tokenize_takes_a_conversation_as_the_template_writes_it(server: Server) -> None:
    assert server.post("/tokenize", {"messages": hello}).json()["tokens"] == list(b"hello>")


def test_tokenizer_info_names_the_special_tokens(server: Server) -> None:
    info = server.get("/tokenizer_info").json()
    assert (info["vocab_size"], info["eos_token_ids"]) == (258, [256])
