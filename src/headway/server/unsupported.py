"""Fields that people know from elsewhere, that would change the answer, and that this server does not honour.

A value that asks for nothing is let pass; any other is refused by name, never ignored.
"""

from headway.server.body import JsonObject
from headway.server.errors import ApiError

_off = (None, False)
_no_text = (None, "")
_no_list: tuple[object, ...] = (None, [])
_no_object: tuple[object, ...] = (None, {})

# Each with the values that ask for nothing here.
UNSUPPORTED: dict[str, tuple[object, ...]] = {
    "add_generation_prompt": (None, True),
    "add_special_tokens": (None, True),
    "allowed_token_ids": _no_list,
    "audio": (None,),
    "bad_words": _no_list,
    "best_of": (None, 1),
    "chat_template": _no_text,
    "chat_template_kwargs": _no_object,
    "continue_final_message": _off,
    "documents": _no_list,
    "ebnf": _no_text,
    "echo": _off,
    "function_call": (None, "none", "auto"),
    "functions": _no_list,
    "grammar": _no_text,
    "guided_choice": _no_list,
    "guided_grammar": _no_text,
    "guided_json": (None,),
    "guided_regex": _no_text,
    "include_stop_str_in_output": _off,
    "json_schema": (None,),
    "length_penalty": (None, 1, 1.0),
    "logits_processors": _no_list,
    "lora": (None, "", [], {}),
    "max_completion_tokens": (None,),
    "mm_processor_kwargs": _no_object,
    "modalities": (None, ["text"]),
    "prediction": (None,),
    "prompt_embeds": (None, []),
    "prompt_logprobs": _off,
    "reasoning_effort": (None, "none"),
    "regex": _no_text,
    "response_format": (None, {"type": "text"}),
    "return_token_ids": _off,
    "return_token_strs": _off,
    "return_tokens_as_token_ids": _off,
    "skip_special_tokens": (None, True),
    "spaces_between_special_tokens": (None, True),
    "store": _off,
    "structured_outputs": _no_object,
    "suffix": _no_text,
    "tool_choice": (None, "none", "auto"),
    "tools": _no_list,
    "top_logprobs": (None,),
    "truncate_prompt_tokens": (None,),
    "typical_p": (None, 1, 1.0),
    "use_beam_search": _off,
    "verbosity": (None,),
    "web_search_options": (None,),
}
_in_messages: dict[str, tuple[object, ...]] = {
    "audio": (None,),
    "function_call": (None,),
    "tool_call_id": _no_text,
    "tool_calls": _no_list,
}


def refuse_unsupported(body: JsonObject, supported: frozenset[str]) -> None:
    """`supported`: what this endpoint takes. Raises ApiError 400."""
    for name, neutral in UNSUPPORTED.items():
        if name in body and name not in supported and not _is_one_of(body[name], neutral):
            raise _refused(name)
    messages = body.get("messages")
    for i, message in enumerate(messages if isinstance(messages, list) else ()):
        for name, neutral in _in_messages.items():
            if isinstance(message, dict) and not _is_one_of(message.get(name), neutral):
                raise _refused(f"messages[{i}].{name}")


def _is_one_of(value: object, allowed: tuple[object, ...]) -> bool:
    """As JSON sees it: false is not 0, and true not 1."""
    return any(type(value) is type(one) and value == one for one in allowed)


def _refused(param: str) -> ApiError:
    return ApiError(400, f"{param} is not supported yet", param=param, code="unsupported_parameter")
