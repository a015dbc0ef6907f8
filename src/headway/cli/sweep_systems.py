"""What a sweep is run on: a server that is there, a model that is served for it, a device that is simulated.
Each gives a `Measure`: a load in, the figures of a run out.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, takewhile
from random import Random
from typing import Any, NamedTuple
from urllib.request import urlopen

from headway.bench.arrivals import poisson
from headway.bench.load import Played, check_answered, play
from headway.bench.probe import probe
from headway.bench.prompts import as_ids, as_text
from headway.bench.report import latencies, overall
from headway.bench.run_figures import figures
from headway.bench.served import read_metrics, serving
from headway.bench.sweep import Figures, Loads, Measure, largest_size
from headway.bench.wire import Api, Asked, BadTarget, Target
from headway.bench.workload import Arrival
from headway.clock import VirtualClock
from headway.config import Settings
from headway.core.limits import Limits
from headway.core.memory import paged
from headway.core.policies import POLICIES
from headway.core.scheduler import Scheduler
from headway.core.slo import BATCH, BUILT_IN
from headway.sim.clients import ask_all
from headway.sim.deployment import Deployment
from headway.sim.devices import device
from headway.sim.models import model
from headway.sim.scripted import LengthsExecutor

waves, fewest = 3, 4  # requests of a batch size: so many times as many, and no fewer
drain_s, warm_up_s, scrape_s, block_size = 60.0, 120.0, 10.0, 16
preempted = "headway:preemptions_total"


class Work(NamedTuple):
    """Of every request, and of every rate."""

    prompt_tokens: int
    output_tokens: int
    seconds: float
    is_rate: bool
    text: bool = False

    def arrivals(self, load: float, repeat: int) -> list[Arrival]:
        """Of a rate those in its time, of a batch size enough for some waves."""
        one = Arrival(0.0, BATCH.name, self.prompt_tokens, self.output_tokens, self.output_tokens)
        if not self.is_rate:
            return [one] * max(fewest, waves * int(load))
        random, at_s = Random(f"{repeat}/{load}"), 0.0
        gaps = (poisson(random) / load for _ in count())
        times = takewhile(lambda t: t < self.seconds, (at_s := at_s + gap for gap in gaps))
        return [one._replace(at_s=t) for t in times] or [one]

    def asked(self, load: float, repeat: int) -> list[Asked]:
        """No two prompts of a sweep are alike."""
        draw: Any = as_text if self.text else as_ids
        seed = Random(f"{load}/{repeat}").getrandbits(60)
        return [
            Asked(a.at_s, a.service_class, draw(a, number, seed), a.output_tokens)
            for number, a in enumerate(self.arrivals(load, repeat))
        ]


def at_url(url: str, work: Work, name: str | None, key: str | None) -> tuple[str, Measure]:
    """What it is, and how it is measured. Raises BadTarget."""
    found = probe(url, model=name, api=Api.COMPLETIONS, text=work.text, key=key)
    ours = found.classes is not None
    return f"{url} serves {found.words}", _over_http(found.target, work, url if ours else None)


@contextmanager
def served(name: str, loads: Loads, work: Work, policy: str | None) -> Iterator[Measure]:
    """With room for the largest batch. Raises NotServed."""
    most = int(max(loads.given, default=largest_size)) if not work.is_rate else Settings().max_num_seqs
    usual = Settings().max_num_batched_tokens
    flags = ["--max-num-seqs", str(most), "--max-num-batched-tokens", str(max(most, usual))]
    flags += ["--max-queue", "100000", *(["--policy", policy] if policy else [])]
    with serving(name, flags) as server:
        yield _over_http(server.target, work, server.url)


def _over_http(target: Target, work: Work, scraped: str | None) -> Measure:
    """`scraped`: where our own server's metrics are, which tell of pre-emptions."""

    def measure(load: float, repeat: int) -> Figures:
        before = _preempted(scraped)
        found = figures(_play(target, work, load, repeat), BUILT_IN)
        return {**found, "preemptions": _preempted(scraped) - before}

    first = work.asked(4.0, -1)[:8]  # so that nothing is a first time
    warmed = asyncio.run(play(first, target, warm_up_s, at_a_time=4))
    check_answered(warmed, "before the first load", warm_up_s)
    return measure


def _play(target: Target, work: Work, load: float, repeat: int) -> Played:
    asked = work.asked(load, repeat)
    if work.is_rate:
        return asyncio.run(play(asked, target, asked[-1].at_s + drain_s))
    return asyncio.run(play(asked, target, float("inf"), at_a_time=int(load)))


def _preempted(url: str | None) -> float:
    if url is None:
        return 0.0
    try:
        with urlopen(f"{url}/metrics", timeout=scrape_s) as answer:
            found = read_metrics(answer.read().decode())
    except (OSError, ValueError) as error:
        raise BadTarget(f"{url}/metrics: {error}") from error
    return sum(value for name, value in found.items() if name.startswith(preempted))


def simulated(name: str, device_name: str, tp: int, loads: Loads, work: Work, policy: str | None) -> Measure:
    """Raises ValueError, in one line."""
    deployment = Deployment(model(name), device(device_name), tp)
    blocks = deployment.kv_blocks(block_size)
    most = int(max(loads.given, default=largest_size)) if not work.is_rate else 256
    longest = work.prompt_tokens + work.output_tokens
    if longest > blocks * block_size:
        raise ValueError(f"{longest:,} tokens do not fit; there is room for {blocks * block_size:,}")
    limits = Limits(most, max(most, deployment.step_tokens), 1 << 20, block_size, blocks, longest)

    def measure(load: float, repeat: int) -> Figures:
        clock, asked = VirtualClock(), work.arrivals(load, repeat)
        executor = LengthsExecutor(clock, deployment.cost(), asked)
        scheduler = Scheduler(limits, POLICIES[policy or "adaptive"](), paged)
        clients = ask_all(clock, executor, scheduler, asked, None if work.is_rate else int(load))
        answers, seconds = clients.answers(), clock.now()
        tokens = sum(len(answer.stamps) for answer in answers)
        rates = {"output_tok_s": tokens / seconds, "requests_per_s": len(answers) / seconds}
        failed = sum(not answer.complete for answer in answers)
        numbers = {"failed": failed, "errors": {}, "preemptions": clients.preemptions}
        return {**rates, **numbers, **latencies(overall(answers))}

    return measure
