"""What serving over HTTP adds to steps, as a client on the same machine sees it.

Streams together: what the gaps between their tokens are beyond the formula's step is the host's share, and
what API process and client take from a step. Requests alone, one after another, for one token: what their
client waits beyond the engine's own account of queue and step is their way to the scheduler and the token's
way back.
"""

from array import array
from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial
from random import Random
from statistics import median
from typing import NamedTuple, TypeVar

import numpy as np

from headway.bench.client import Client, Exchange
from headway.bench.load import play
from headway.bench.served import Usage, disturbance, left_alone
from headway.bench.wire import Asked, Target
from headway.core.types import Slice

T = TypeVar("T")

StepSeconds = Callable[[Iterable[Slice]], float]

prompt_sizes, rounds = (16, 64, 128, 240), 7  # a step each
together, answer_tokens = (1, 4, 16, 32), 48
short_tokens = 16
least_s = 1e-7  # what a clock can tell apart
patience_s = 60.0  # for streams together
attempts = 3  # at what others have disturbed; the quietest counts


class Way(NamedTuple):
    """Medians, for `fit_line`."""

    gaps_s: list[tuple[int, float]]  # (sequences, seconds of a gap beside the formula's step)
    requests_s: list[tuple[int, float]]  # (prompt tokens, seconds beside the engine's)


class Place(NamedTuple):
    """A server that nobody else asks."""

    target: Target
    vocab: int
    max_model_len: int
    usage: Callable[[], Usage | None]  # of the machine's cores


async def measure_way(place: Place, step_s: StepSeconds) -> Way:
    """Some twenty seconds with a small model on a CPU. The first requests warm it up and do not count."""
    prompts = _prompts(place.vocab)
    await _streams(place, together[-1], prompts)
    gaps_s = []
    for size in together:
        exchanges = await quietest(place, partial(_streams, place, size, prompts))
        middle = [Slice(id, short_tokens + answer_tokens // 2, 1, True) for id in range(size)]
        gaps_s.append((size, max(least_s, median(gaps_of(exchanges)) - step_s(middle))))
    requests_s = []
    for size in (size for size in prompt_sizes if size < place.max_model_len):
        took_s = await quietest(place, partial(_one_after_another, place, size, prompts))
        requests_s.append((size, max(least_s, took_s)))
    return Way(gaps_s, requests_s)


async def quietest(place: Place, measure: Callable[[], Awaitable[T]]) -> T:
    """The first that others left alone, else the one that they disturbed least."""
    found: list[tuple[float, int, T]] = []
    for attempt in range(attempts):
        before = place.usage()
        made = await measure()
        cores = disturbance(before, place.usage())
        found.append((sum(cores.values()), attempt, made))
        if left_alone(cores):
            break
    return min(found, key=lambda each: each[:2])[2]


async def _one_after_another(place: Place, size: int, prompts: "Iterator[array[int]]") -> float:
    """The median."""
    return median([await _alone(place, size, prompts) for _ in range(rounds)])


async def _alone(place: Place, size: int, prompts: "Iterator[array[int]]") -> float:
    """Seconds from sending to the token, less those in the engine."""
    asked = Asked(0.0, "batch", next(prompts)[:size], 1)
    exchange = await Client(place.target).send(asked)
    assert exchange.complete, f"a request for one token was answered with {exchange.status} {exchange.error}"
    assert exchange.in_engine_s is not None
    return exchange.stamps[0] - exchange.dispatched_s - exchange.in_engine_s


async def _streams(place: Place, size: int, prompts: "Iterator[array[int]]") -> list[Exchange]:
    schedule = [Asked(0.0, "batch", next(prompts)[:short_tokens], answer_tokens) for _ in range(size)]
    played = await play(schedule, place.target, patience_s)
    assert all(exchange.complete for exchange in played.exchanges), "a stream was not answered"
    return played.exchanges


def gaps_of(exchanges: Iterable[Exchange]) -> list[float]:
    """Between tokens that came while all of them streamed; between all, where they never did."""
    each = [np.asarray(exchange.stamps) for exchange in exchanges]
    first_s, last_s = max(stamps[0] for stamps in each), min(stamps[-1] for stamps in each)
    inside = [stamps[(first_s <= stamps) & (stamps <= last_s)] for stamps in each]
    found = np.concatenate([np.diff(stamps) for stamps in inside])
    return list(map(float, found if len(found) else np.concatenate([np.diff(stamps) for stamps in each])))


def _prompts(vocab: int) -> "Iterator[array[int]]":
    random = Random(0)
    while True:
        yield array("i", random.choices(range(vocab), k=prompt_sizes[-1]))
