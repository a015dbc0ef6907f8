"""G. On this machine, with the real engine: what its batches, its policies and its memory rules give.

Owns the experiments and their arithmetic; an engine comes from the caller, who serves. Nothing is simulated.
What others have claimed of GPUs is no claim about this machine, so rows say what comes out and no more.
"""

from collections.abc import Callable, Sequence
from functools import partial
from statistics import median
from typing import NamedTuple

from headway.bench.arrivals import at_once
from headway.bench.report import Answer, report
from headway.bench.workload import NAMED, SMALL, Arrival, Part, Workload
from headway.classes import read_classes
from headway.core.slo import BATCH
from headway.core.types import Stepped
from headway.headlines.f2_shapes import Use
from headway.headlines.rows import Effort, Job, Row

SOURCE = "measured here"
PLACE = "SmolLM2-135M on this CPU"
BATCHES = (1, 4, 16, 32, 64)
PROMISES = "chat:ttft=2s,itl=200ms;interactive:ttft=none,deadline=6s"
context, roomy, tight = 2048, 32_768, 8192  # tokens: of a sequence; of a pool with room for all, or for some
busy = 0.8  # of the rate at which requests that are all there at the start are answered


class Engine(NamedTuple):
    """As it is asked for: what is not here is as in `headway serve`."""

    policy: str
    max_seqs: int
    step_tokens: int
    memory: str = "paged"
    kv_tokens: int = roomy
    classes: str | None = None


class Ran(NamedTuple):
    """A run of an engine of its own, once it is warm; in seconds since the run began."""

    answers: Sequence[Answer]
    frames: Sequence[Stepped]

    @property
    def seconds(self) -> float:
        return max(answer.stamps[-1] for answer in self.answers)

    @property
    def rate(self) -> float:
        return len(self.answers) / self.seconds


Serve = Callable[[Engine, Sequence[Arrival]], Ran]
"""Everyone leaves after the tokens drawn for its answer, of which the engine knows `max_tokens` alone."""


def jobs(effort: Effort, serve: Serve) -> list[Job]:
    """To be run one at a time: they have the machine's cores to themselves."""
    return [
        Job("measured: batches of 1 to 64", 1.0, partial(batches, effort, serve)),
        Job("measured: three kinds of memory", 1.0, partial(memory, effort, serve)),
        Job("measured: whole batches and continuous ones", 0.8, partial(continuous, effort, serve)),
        Job("measured: policies under promises", 1.5, partial(promises, effort, serve)),
    ]


def batches(effort: Effort, serve: Serve) -> list[Row]:
    """As B has them: 128 in, 64 out, each batch from its start to its end; the median of some."""
    took_s = {}
    for n in BATCHES:
        asked = [Arrival(0.0, BATCH.name, 128, 64, 64)] * n
        repeats = 1 if effort.quick or n > 4 else 3
        took_s[n] = median(serve(Engine("prefill-first", 64, context), asked).seconds for _ in range(repeats))
    words = f"{PLACE}, 128 in, 64 out"
    rows = [
        Row(f"G/batch/{n}", f"{words}, batch {n}: not stated", SOURCE, n / took_s[n], "requests/s")
        for n in BATCHES
    ]
    latency, words = took_s[64] / took_s[1], f"{words}, batch 64 over 1"
    return [
        *rows,
        Row("G/batch/throughput", f"{words}, throughput: not stated", SOURCE, 64 / latency, "x"),
        Row("G/batch/latency", f"{words}, latency: not stated", SOURCE, latency, "x"),
    ]


def all_there(effort: Effort) -> list[Arrival]:
    """Short chats, of which each asks for up to 128 tokens and gets some 40."""
    workload = Workload((Part(BATCH.name, 1.0, "small-chat"),), at_once, requests=24 if effort.quick else 64)
    return list(workload.arrivals(1.0, effort.seeds[0], 1.0))


def memory(effort: Effort, serve: Serve) -> list[Row]:
    """C's three engines of 2023 as far as one engine can be all of them, in a pool that not all fit."""
    asked = all_there(effort)
    engines = {
        "paged": Engine("prefill-first", 64, context, kv_tokens=tight),
        "reserved-request": Engine("prefill-first", 64, context, "reserved-request", tight),
        "reserved-context": Engine("static", tight // context, context, "reserved-context", tight),
    }
    ran = {name: serve(engine, asked) for name, engine in engines.items()}
    rows = []
    for name, run in ran.items():
        use, words = Use(), f"{PLACE}, short chats, {engines[name].policy}, {name} memory"
        use.publish(0.0, run.frames)
        rows += [
            Row(f"G/memory/{name}/rate", f"{words}: not stated", SOURCE, run.rate, "requests/s"),
            Row(f"G/memory/{name}/use", f"{words}: of what is held is used, not stated", SOURCE,
                100 * use.filled / use.held, "%"),
        ]  # fmt: skip
    for name in ("reserved-request", "reserved-context"):
        words = f"{PLACE}, short chats: throughput of paged memory over {name}, not stated"
        rows.append(Row(f"G/memory/paged-to-{name}", words, SOURCE, ran["paged"].rate / ran[name].rate, "x"))
    return rows


def continuous(effort: Effort, serve: Serve) -> list[Row]:
    """Sixteen at a time with memory for all: nobody enters a whole batch before its last has ended."""
    asked = all_there(effort)
    ran = {policy: serve(Engine(policy, 16, 256), asked) for policy in ("static", "stall-free")}
    words = f"{PLACE}, short chats, 16 at a time"
    rows = [
        Row(f"G/batching/{policy}", f"{words}, {policy}: not stated", SOURCE, run.rate, "requests/s")
        for policy, run in ran.items()
    ]
    gain = ran["stall-free"].rate / ran["static"].rate
    claim = f"{words}: throughput of continuous over whole batches, not stated"
    return [*rows, Row("G/batching/continuous-to-static", claim, SOURCE, gain, "x")]


def promises(effort: Effort, serve: Serve) -> list[Row]:
    """Chat, interactive and batch as they come, under targets that two cores can keep."""
    small, seconds = NAMED[SMALL], 20.0 if effort.quick else 60.0
    calm = serve(Engine("stall-free", 64, 256), _at_once(list(small.arrivals(1.0, 0, 32.0))))
    rate, classes = busy * calm.rate, read_classes(PROMISES)
    asked = list(small.arrivals(rate, effort.seeds[0], seconds))
    rows = []
    for policy, step_tokens in (("prefill-first", 2048), ("stall-free", 256), ("adaptive", 2048)):
        ran = serve(Engine(policy, 64, step_tokens, classes=PROMISES), asked)
        found = report(ran.answers, classes, seconds)
        words = f"{PLACE}, three classes at {rate:.2f} requests/s, {policy}"
        rows += [
            Row(f"G/promises/{policy}/goodput", f"{words}: goodput, not stated", SOURCE, found.goodput,
                "requests/s"),
            Row(f"G/promises/{policy}/attainment", f"{words}: worst class's attainment, not stated", SOURCE,
                100 * found.attainment, "%"),
        ]  # fmt: skip
    return rows


def _at_once(arrivals: Sequence[Arrival]) -> list[Arrival]:
    return [arrival._replace(at_s=0.0) for arrival in arrivals]
