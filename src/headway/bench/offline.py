"""Prefill and decode rates of an engine in this process, batch size by batch size.

Owns the workload and the arithmetic on the engine's frames; the engine comes from the caller. Its words:

    prefill tok/s   prompt tokens / time of the steps in which prompts ran
    decode tok/s    output tokens of the steps in which no prompt ran / their time
    tpot_ms         mean time of those steps: what a stream waits for its next token once all prompts are in

A step's time is from the end of the step before it to its own end, so planning and publishing count. Needs a
policy that keeps prompts and decodes in steps of their own (prefill-first).
"""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from statistics import median
from typing import NamedTuple

from headway.core.types import Stepped


class Run(NamedTuple):
    """One batch from its submission to its last token."""

    start_s: float
    frames: Sequence[Stepped]  # one per step, in order


RunBatch = Callable[[Sequence["array[int]"], int], Run]
"""Runs prompts together until each has so many greedy tokens, whatever they are."""


@dataclass(frozen=True, slots=True)
class Rates:
    batch_size: int
    prefill_tok_s: float
    decode_tok_s: float
    tpot_ms: float


@dataclass(frozen=True, slots=True)
class Workload:
    prompt_tokens: int
    output_tokens: int
    vocab: int
    repeat: int = 1
    seed: int = 0


def measure(run_batch: RunBatch, workload: Workload, batch_size: int, done: Callable[[], None]) -> Rates:
    """Medians over the repeats, after a warm-up of two tokens. `done` is called after each run of either."""
    random = Random(f"{workload.seed}/{batch_size}")
    run_batch(_prompts(random, workload, batch_size), 2)
    done()
    runs = []
    for _ in range(workload.repeat):
        runs.append(
            rates(run_batch(_prompts(random, workload, batch_size), workload.output_tokens), batch_size)
        )
        done()
    return Rates(
        batch_size,
        median(run.prefill_tok_s for run in runs),
        median(run.decode_tok_s for run in runs),
        median(run.tpot_ms for run in runs),
    )


def rates(run: Run, batch_size: int) -> Rates:
    prefill_s = decode_s = 0.0
    prompt_tokens = output_tokens = decode_steps = 0
    before_s = run.start_s
    for frame in run.frames:
        took_s, before_s = frame.at_s - before_s, frame.at_s
        if frame.prompt_tokens:
            prefill_s += took_s
            prompt_tokens += frame.prompt_tokens
        else:
            decode_s += took_s
            output_tokens += frame.tokens
            decode_steps += 1
    assert decode_steps, "a run has steps without prompts"
    return Rates(
        batch_size, prompt_tokens / prefill_s, output_tokens / decode_s, 1e3 * decode_s / decode_steps
    )


def _prompts(random: Random, workload: Workload, count: int) -> list["array[int]"]:
    ids = range(workload.vocab)
    return [array("i", random.choices(ids, k=workload.prompt_tokens)) for _ in range(count)]
