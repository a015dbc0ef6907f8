"""The bodies that clients send, as types. Owns names, defaults and bounds of fields; tokenizes nothing.

Strict: a bool is no number and a text is no list. A list is read up to its first mistake only (`fail_fast`):
pydantic would keep every one, and the client hears of one. Fields that are not named here are let in and told
of in a warning, but for those that people know and that would change the answer (`unsupported.py`).
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from headway.server import fields
from headway.server.fields import Bias, Metadata, Prompt, Stop, number, switch, text, whole

StopIds = Annotated[list[int], Field(fail_fast=True, max_length=fields.most_stop_ids)]


class Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    model: str | None = text(fields.name_characters)


class StreamOptions(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    include_usage: bool | None = switch()
    continuous_usage_stats: bool | None = switch()


class Generate(Body):
    """What both ways of asking for text share."""

    max_tokens: int | None = whole(1, fields.most_tokens)
    min_tokens: int | None = whole(0, fields.most_tokens)
    temperature: float | None = number(0, 2)
    top_p: float | None = number(0, 1, above=True)
    top_k: int | None = whole(-1, fields.most_tokens)
    min_p: float | None = number(0, 1)
    frequency_penalty: float | None = number(-2, 2)
    presence_penalty: float | None = number(-2, 2)
    repetition_penalty: float | None = number(*fields.repetition_range)
    logit_bias: Bias = ()
    seed: int | None = whole(-fields.largest_seed - 1, fields.largest_seed)
    n: int | None = whole(1, fields.most_choices)
    stop: Stop = ()
    stop_token_ids: StopIds | None = Field(
        None, description=f"a list of at most {fields.most_stop_ids} token ids"
    )
    ignore_eos: bool | None = switch()
    add_special_tokens: bool | None = switch()
    stream: bool | None = switch()
    stream_options: StreamOptions | None = Field(
        None, description="an object with include_usage and continuous_usage_stats"
    )
    service_tier: str | None = Field(
        None,
        min_length=1,
        max_length=fields.name_characters,
        description="one of auto, default, flex, scale, priority, fast, or the name of a service class",
    )
    priority: int | None = whole(-(1 << 31), (1 << 31) - 1)
    metadata: Metadata = None
    cache_salt: str | None = text(fields.name_characters, 1)
    user: str | None = text(fields.name_characters)
    safety_identifier: str | None = text(fields.name_characters)
    prompt_cache_key: str | None = text(fields.name_characters)


class Completion(Generate):
    prompt: Prompt
    best_of: int | None = whole(1, fields.most_choices)
    logprobs: int | None = whole(0, fields.most_logprobs)
    echo: bool | None = switch()


class TextPart(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)

    type: Literal["text"]
    text: str


Parts = Annotated[list[TextPart], Field(fail_fast=True, max_length=fields.most_parts)]


class Message(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    role: Literal["system", "developer", "user", "assistant"] = Field(
        description="one of system, developer, user, assistant"
    )
    content: str | Parts = Field(
        description=f"a text, or a list of at most {fields.most_parts:,} parts of type text"
    )

    def as_text(self) -> str:
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content)


Messages = Annotated[
    list[Message],
    Field(
        fail_fast=True,
        min_length=1,
        max_length=4096,
        description="a list of 1 to 4096 messages with role and content",
    ),
]


class Chat(Generate):
    messages: Messages
    max_completion_tokens: int | None = whole(1, fields.most_tokens)
    add_generation_prompt: bool | None = switch()
    logprobs: bool | None = switch()
    top_logprobs: int | None = whole(0, fields.most_logprobs)


class Tune(BaseModel):
    """A live change. What is misspelt is refused: nothing here is done by halves."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    classes: str | None = text(fields.classes_characters, 1)
    remove: Annotated[list[str], Field(fail_fast=True, max_length=fields.most_removed)] | None = Field(
        None, description=f"a list of at most {fields.most_removed} names of classes"
    )
    policy: str | None = text(fields.name_characters, 1)
    window_s: float | None = number(*fields.window_s_range)
    tolerance: float | None = number(0, 1)
    rollback: bool | None = switch()


class Drain(BaseModel):
    """Without a body, too."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    cancel: bool | None = switch()


Ids = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=fields.name_characters)]],
    Field(fail_fast=True, min_length=1, max_length=fields.most_ids),
]


class Abort(BaseModel):
    """Exactly one of ids, class and all."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    ids: Ids | None = Field(
        None,
        description=f"a list of 1 to {fields.most_ids:,} texts: x-request-id or the answer's id",
    )
    service_class: str | None = Field(
        None,
        alias="class",
        min_length=1,
        max_length=fields.name_characters,
        description="the name of a service class",
    )
    all: bool | None = switch()
    state: Literal["waiting"] | None = Field(None, description="waiting: those that have had no token")


class Tokenize(Body):
    """Either a prompt or messages."""

    prompt: str | None = Field(None, description="a text")
    messages: Messages | None = None
    add_special_tokens: bool | None = switch()
    add_generation_prompt: bool | None = switch()


class Detokenize(Body):
    tokens: Annotated[list[int], Field(fail_fast=True)] = Field(description="a list of token ids")
