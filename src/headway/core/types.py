"""What crosses the core's borders, frozen or a named tuple. Whoever gets an array leaves it as it is."""

from array import array
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from headway.core.slo import NO_TARGETS, ServiceClass, Targets

type_code = "i"  # of every token array: four bytes a token, one object however long the prompt


class Reason(StrEnum):
    """Why a sequence ended. Every sequence ends exactly once, with one of these."""

    STOP = "stop"  # a stop id was sampled, or a stop string was found where text is made
    LENGTH = "length"  # max_tokens or the context was reached
    CANCELLED = "cancelled"  # the client left
    ERROR = "error"  # the executor failed this sequence, or died
    EXPIRED = "expired"  # its deadline, or the most its class waits, passed before its first slice


class Refusal(StrEnum):
    TOO_LONG = "too_long"  # prompt + max_tokens over the context
    NEVER_FITS = "never_fits"  # alone on an idle engine it would still not fit the pool, or the queue
    OVERLOADED = "overloaded"  # the queue is at its limit
    TOO_LATE = "too_late"  # its first token would come too late, and its class refuses rather than wait
    CLOSING = "closing"  # the engine drains


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a sequence's tokens are chosen and when it ends. Ranges are checked at the door, not here."""

    max_tokens: int = 16
    temperature: float = 1.0  # 0: greedy
    top_p: float = 1.0
    top_k: int = 0  # 0: no limit
    min_p: float = 0.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    seed: int | None = None  # the door replaces None by a number
    logprobs: int | None = None  # how many alternatives beside the chosen token; None: no log-probabilities
    prompt_logprobs: int | None = None  # the same for the prompt's tokens; such a prompt takes no prefix hit
    stop_ids: tuple[int, ...] = ()  # end-of-text ids are added at the door unless ignore_eos
    stop_strings: tuple[str, ...] = ()  # carried, never read, by the core
    ignore_eos: bool = False
    min_tokens: int = 0  # no stop id is sampled before this many tokens


@dataclass(frozen=True, slots=True)
class Request:
    """One accepted HTTP body or library call, tokenized. Each of its choices becomes a sequence."""

    id: int  # unique in the engine's life
    prompt: "array[int]"  # at least one token
    sampling: Sampling
    arrival_s: float
    choices: int = 1
    service_class: str = "chat"
    own: Targets = NO_TARGETS  # these stand in place of its class's, where that has such a target
    cache_salt: bytes = b""


class Cancel(NamedTuple):
    request_id: int
    choice: int | None = None  # None: all of the request's
    reason: Reason = Reason.CANCELLED
    keep: int | None = None  # output tokens that count (a stop string was found there); None: all so far


class Retune(NamedTuple):  # what is promised from the next plan on, by which policy; None: as it is
    id: int
    classes: tuple[ServiceClass, ...]
    policy: str | None = None


class Joined(NamedTuple):  # a sequence the executor has not seen, or has dropped: all it needs to hold it
    id: int  # the sequence's, not the request's
    tokens: "array[int]"  # all that are known, the prompt first
    prompt_tokens: int
    choice: int
    sampling: Sampling
    tables: tuple[tuple[int, ...], ...]  # block ids, one table per KV group


class Grown(NamedTuple):
    id: int
    tables: tuple[tuple[int, ...], ...]  # the blocks that are appended


class Slice(NamedTuple):
    id: int
    start: int  # tokens [start, start + count) of the sequence are computed
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody asks of a slice
    samples: bool  # they reach the last known one


class Batch(NamedTuple):
    """One step's work, as a change to what the executor holds. In order: gone, joined, grown, slices."""

    id: int
    gone: tuple[int, ...]
    joined: tuple[Joined, ...]
    grown: tuple[Grown, ...]
    slices: tuple[Slice, ...]


class Logprob(NamedTuple):
    token: int
    logprob: float  # natural
    top: tuple[tuple[int, float], ...]  # the likeliest tokens with theirs, best first


class Outcome(NamedTuple):
    id: int
    tokens: tuple[int, ...] = ()  # what the slice gave: none, one or several
    logprobs: tuple[Logprob, ...] = ()  # one per token where asked for
    prompt_logprobs: tuple[Logprob, ...] = ()  # of prompt tokens start+1 .. start+count, where asked for
    failure: str | None = None  # it ends this sequence alone


class Result(NamedTuple):
    batch_id: int
    outcomes: tuple[Outcome, ...] | list[Outcome]  # in the order of the batch's slices
    start_s: float  # of its step
    end_s: float


class Accepted(NamedTuple):
    request_id: int
    at_s: float
    service_class: str  # as which it is served: the one asked for, or what that is downgraded to


class Refused(NamedTuple):
    request_id: int
    at_s: float
    reason: Refusal
    message: str  # for the caller: the numbers, and what to do
    retry_after_s: float | None = None


class Token(NamedTuple):
    request_id: int
    choice: int
    token: int
    at_s: float  # the end of the step that made it
    logprob: Logprob | None = None


class PromptScored(NamedTuple):
    request_id: int
    choice: int
    logprobs: tuple[Logprob, ...]  # of the prompt's next tokens, in order, from its second token on


class Shares(NamedTuple):
    """Where a sequence's time went: integer nanoseconds that add up to end - arrival, each instant in one."""

    queue: int = 0
    prefill: int = 0  # its own
    interference: int = 0  # what others' prompts made its steps longer, by the forecast
    decode: int = 0
    preemption: int = 0  # from losing its blocks until what it had is computed again
    host: int = 0


class Finished(NamedTuple):
    request_id: int
    choice: int
    reason: Reason
    at_s: float
    prompt_tokens: int
    cached_tokens: int  # of the prompt, found in the prefix index when it first joined
    output_tokens: int
    spent_ns: Shares
    detail: str = ""  # for ERROR: what happened


class Stepped(NamedTuple):
    """One frame per step: what ran, for how long, and how the engine stands after it."""

    at_s: float
    step_s: float  # end - max(start, previous end)
    tokens: int
    prompt_tokens: int  # of which beyond the one token of a sequence that only decodes
    sequences: int
    running: int
    waiting: int
    blocks_free: int
    blocks_cached: int
    blocks_used: int
    slots_unused: int  # in used blocks, holding no computed token
    preemptions: int  # since the last frame, as the three below
    recomputed_tokens: int
    prefix_query_tokens: int
    prefix_hit_tokens: int
    budget: int
    forecast_s: float  # what the step was expected to take
    forecast_error: float  # of late: the median of |actual / forecast - 1|
    infeasible: tuple[tuple[str, str], ...] = ()  # (class, target) that no load, however small, would meet


class Retuned(NamedTuple):
    id: int
    at_s: float


Letter = Request | Cancel | Retune
Event = Accepted | Refused | Token | PromptScored | Finished | Stepped | Retuned
