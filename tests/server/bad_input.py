"""One table of what clients send wrong: field, value, and which endpoints take the field."""

from typing import Any, NamedTuple

completions, chat = "/v1/completions", "/v1/chat/completions"
generate = (completions, chat)
hello = [{"role": "user", "content": "hello"}]
good: dict[str, dict[str, Any]] = {completions: {"prompt": "hello"}, chat: {"messages": hello}}


class Raw(NamedTuple):
    """A value that Python's JSON cannot write."""

    json: str


class Bad(NamedTuple):
    field: str
    value: Any
    endpoints: tuple[str, ...] = generate
    others: dict[str, Any] | None = None  # fields that go with it
    param: str | None = None  # named in the answer, where it is not the field itself


def _not_whole(field: str, low: int, high: int, endpoints: tuple[str, ...] = generate) -> list[Bad]:
    wrong = [low - 1, high + 1, 2**63, -(2**63) - 1, Raw("1e308"), 1.5, "1", True, [1], {}, Raw("1e400")]
    return [Bad(field, value, endpoints) for value in wrong]


def _not_finite(field: str, low: float, high: float) -> list[Bad]:
    wrong = [low - 0.1, high + 0.1, Raw("1e400"), Raw("-1e400"), "warm", True, [], {}]
    return [Bad(field, value) for value in wrong]


def _message(message: Any) -> Bad:
    return Bad("messages", [message], (chat,), param="messages")


table: list[Bad] = [
    *_not_whole("n", 1, 128),
    *_not_whole("best_of", 1, 128, (completions,)),
    *_not_whole("logprobs", 0, 20, (completions,)),
    *[bad._replace(others={"logprobs": True}) for bad in _not_whole("top_logprobs", 0, 20, (chat,))],
    *_not_whole("max_tokens", 1, 1 << 24),
    *_not_whole("max_completion_tokens", 1, 1 << 24, (chat,)),
    *_not_whole("min_tokens", 0, 1 << 24),
    *_not_whole("top_k", -1, 1 << 24),
    *_not_whole("seed", -(2**63), 2**63 - 1),
    *_not_whole("priority", -(2**31), 2**31 - 1),
    *_not_finite("temperature", 0, 2),
    *_not_finite("top_p", 0, 1),
    Bad("top_p", 0),
    *_not_finite("min_p", 0, 1),
    *_not_finite("frequency_penalty", -2, 2),
    *_not_finite("presence_penalty", -2, 2),
    *_not_finite("repetition_penalty", 0.01, 100),
    Bad("repetition_penalty", 1e-40),
    *[Bad(field, value) for field in ("stream", "ignore_eos") for value in (1, "true", [], 0.0)],
    Bad("echo", 1, (completions,)),
    Bad("logprobs", 1, (chat,)),
    Bad("top_logprobs", 3, (chat,)),  # without logprobs
    Bad("stop", ["x"] * 100_000),
    Bad("stop", ""),
    Bad("stop", [""]),
    Bad("stop", "x" * 1_000_000),
    Bad("stop", [["x"]]),
    Bad("stop", 5),
    Bad("stop_token_ids", list(range(257))),
    Bad("stop_token_ids", [-1]),
    Bad("stop_token_ids", [258]),
    Bad("stop_token_ids", [True]),
    Bad("stop_token_ids", [1.0]),
    Bad("logit_bias", {str(i): 1 for i in range(100_000)}),
    Bad("logit_bias", {"258": 1}),
    Bad("logit_bias", {"-1": 1}),
    Bad("logit_bias", {"a": 1}),
    Bad("logit_bias", {"1": Raw("1e400")}),
    Bad("logit_bias", {"1": "1"}),
    Bad("logit_bias", {"1": 101}),
    Bad("logit_bias", {"1": True}),
    Bad("logit_bias", {"9" * 5_000: 1}),
    Bad("logit_bias", [1]),
    Bad("logit_bias", {"01": 5, "1": 3}),  # one token, twice
    Bad("max_completion_tokens", 5, (completions,)),
    Bad("top_logprobs", 5, (completions,), {"logprobs": 1}),
    *[Bad("prompt", value, (completions,)) for value in ("", None, [], [[]], [""], {}, 5, True)],
    *[Bad("prompt", [value], (completions,)) for value in (-1, 258, 2**31, 2**63, 1.0, True, None)],
    *[Bad("prompt", [[1], [value]], (completions,)) for value in (-1, 258, 2**31, 1.5, False)],
    Bad("prompt", ["a"] * 100_000, (completions,)),
    Bad("prompt", ["a", 1], (completions,)),
    Bad("prompt", "word " * 200_000, (completions,)),
    Bad("prompt", "a" * 1_000_000, (completions,)),
    Bad("prompt", "a" * 513, (completions,)),
    Bad("n", 128, (completions,), {"prompt": ["a"] * 5}),
    *[Bad("messages", value, (chat,)) for value in (None, [], "hello", {}, [1], 5)],
    Bad("messages", [{"role": "user", "content": "a"}] * 5_000, (chat,)),
    _message({"role": "wizard", "content": "a"}),
    _message({"role": "user"}),
    _message({"content": "a"}),
    *[_message({"role": "user", "content": value}) for value in (None, 5, {}, [[]], ["a"])],
    _message({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x/y.png"}}]}),
    _message(
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]}
    ),
    _message({"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "AA=="}}]}),
    _message({"role": "user", "content": "refuse me"}),
    _message({"role": "assistant", "content": "a", "tool_calls": [{"id": "1"}]}),
    Bad("chat_template", "{{ messages }}"),
    Bad("chat_template_kwargs", {"enable_thinking": True}),
    *[Bad("prompt_logprobs", value) for value in (0, 1, "")],
    *[Bad("skip_special_tokens", value) for value in (False, 1)],
    *[
        Bad(field, True)
        for field in ("return_tokens_as_token_ids", "use_beam_search", "continue_final_message")
    ],
    Bad("logits_processors", ["x"]),
    Bad("web_search_options", {}, (chat,)),
    Bad("guided_json", {}),
    Bad("add_generation_prompt", False, (completions,)),
    *[Bad("add_special_tokens", value) for value in (0, "false")],
    Bad("tools", [{"type": "function", "function": {"name": "f"}}]),
    Bad("response_format", {"type": "json_object"}),
    Bad("response_format", {"type": "json_schema", "json_schema": {}}),
    Bad("guided_regex", "(a+)+$"),
    Bad("guided_json", {"$ref": "#"}),
    Bad("structured_outputs", {"regex": "(a+)+$"}),
    Bad("suffix", "end"),
    Bad("stream_options", {"include_usage": True}),  # without stream
    Bad("stream_options", [], others={"stream": True}),
    Bad("stream_options", {"include_usage": 1}, others={"stream": True}),
    Bad("best_of", 2, (completions,), {"n": 1}),
    Bad("min_tokens", 9, others={"max_tokens": 8}),
    Bad("max_tokens", 600, (completions,), param="prompt"),  # together they are over the context
    Bad("max_tokens", 600, (chat,), param="messages"),
    Bad("service_tier", "gold"),
    Bad("service_tier", 1),
    Bad("metadata", {"a": 1}),
    Bad("metadata", {str(i): "" for i in range(17)}),
    Bad("cache_salt", "s" * 1_000_000),
    Bad("cache_salt", ""),
    Bad("cache_salt", 1),
    Bad("user", 1),
    Bad("model", 1),
]
