"""Fields that people know from other servers and that this one does not honour yet.

A value that asks for nothing is let pass; any other is refused by name, never ignored.
"""

from headway.server.body import JsonObject
from headway.server.errors import ApiError

_nothing: tuple[object, ...] = (None, False, "", [], {}, "none", "auto")
_everywhere = (
    "allowed_token_ids",
    "bad_words",
    "best_of",
    "chat_template",
    "chat_template_kwargs",
    "guided_choice",
    "guided_grammar",
    "guided_json",
    "guided_regex",
    "include_stop_str_in_output",
    "length_penalty",
    "lora",
    "prompt_logprobs",
    "return_token_ids",
    "store",
    "structured_outputs",
    "suffix",
    "truncate_prompt_tokens",
    "use_beam_search",
)
_in_chat = (
    "audio",
    "continue_final_message",
    "documents",
    "echo",
    "function_call",
    "functions",
    "mm_processor_kwargs",
    "prediction",
    "reasoning_effort",
    "tool_choice",
    "tools",
    "verbosity",
    "web_search_options",
)
UNSUPPORTED = frozenset((*_everywhere, *_in_chat, "modalities", "response_format"))
_in_messages = ("audio", "function_call", "tool_calls", "tool_call_id")
_otherwise_neutral: dict[str, tuple[object, ...]] = {
    "best_of": (1,),
    "length_penalty": (1, 1.0),
    "modalities": (None, ["text"]),
    "response_format": (None, {"type": "text"}),
    "skip_special_tokens": (None, True),
    "spaces_between_special_tokens": (None, True),
}


def refuse_unsupported(body: JsonObject, supported: frozenset[str]) -> None:
    """`supported`: what this endpoint takes. Raises ApiError 400."""
    for name in (*_everywhere, *_in_chat):
        if name in body and name not in supported and not _asks_nothing(name, body[name]):
            raise _refused(name)
    for name in ("modalities", "response_format", "skip_special_tokens", "spaces_between_special_tokens"):
        if name in body and body[name] not in _otherwise_neutral[name]:
            raise _refused(name)
    messages = body.get("messages")
    for i, message in enumerate(messages if isinstance(messages, list) else ()):
        for name in _in_messages:
            if isinstance(message, dict) and message.get(name) not in _nothing:
                raise _refused(f"messages[{i}].{name}")


def _asks_nothing(name: str, value: object) -> bool:
    return value in _nothing or value in _otherwise_neutral.get(name, ())


def _refused(param: str) -> ApiError:
    return ApiError(400, f"{param} is not supported yet", param=param, code="unsupported_parameter")
