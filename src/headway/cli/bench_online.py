"""`headway bench URL`: load on any OpenAI-compatible server, and what its clients see.

Owns the order: ask what the server is, draw the requests, warm up, play, judge, tell.
"""

import asyncio
import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from itertools import islice, takewhile
from math import inf, sqrt
from pathlib import Path
from typing import Any, NamedTuple

import typer

from headway.bench.client import Client, Exchange
from headway.bench.load import Played, play
from headway.bench.measured_page import measured_page
from headway.bench.probe import Found, probe
from headway.bench.prompts import as_ids, as_text
from headway.bench.report import meets
from headway.bench.run_figures import figures
from headway.bench.summary import summary
from headway.bench.traces import Trace
from headway.bench.wire import Api, Asked
from headway.bench.workload import SMALL, Arrival, Load
from headway.classes import read_classes
from headway.cli import bench_flags as flag
from headway.cli.ending import last_line, told_plainly
from headway.cli.flags import Json
from headway.cli.sim_setup import AskedLoad, read_load, told_of
from headway.config import ConfigError
from headway.core.slo import BUILT_IN, ServiceClass
from headway.terminal import live_line

default_seconds, default_rate = 60.0, 1.0
warm_up_seed, patience_s = -1, 120.0
columns = (
    "request", "class", "intended_s", "dispatched_s", "sent_s", "first_byte_s", "first_token_s",
    "last_token_s", "ended_s", "status", "prompt_tokens", "output_tokens", "asked_tokens", "complete", "met",
    "error",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineLoad(AskedLoad):
    @property
    def workload_name(self) -> str:
        return self.workload or SMALL


class How(NamedTuple):
    """A load is played."""

    rate: float | None
    concurrency: int | None
    ramp_s: float
    warm_up: int
    drain_s: float
    seed: int
    text: bool


def online(
    context: typer.Context,
    url: flag.Url,
    model: flag.Model = None,
    api_key: flag.ApiKey = None,
    endpoint: flag.Endpoint = Api.COMPLETIONS,
    text: flag.Text = False,
    workload: flag.Workload = None,
    lengths: flag.Lengths = None,
    trace: flag.Trace = None,
    trace_kind: flag.TraceKind = None,
    mix: flag.Mix = None,
    arrivals: flag.Arrivals = None,
    rate: flag.Rate = None,
    concurrency: flag.Concurrency = None,
    requests: flag.Requests = None,
    seconds: flag.Seconds = None,
    ramp: flag.Ramp = 0.0,
    warm_up: flag.WarmUp = 4,
    drain: flag.Drain = 60.0,
    seed: flag.Seed = 1,
    classes: flag.Classes = None,
    html: flag.Html = None,
    csv: flag.Csv = None,
    json: Json = False,
) -> None:
    """Load on a server over HTTP, and what its clients see: latencies, promises kept, goodput.

    Open loop: each request is sent at its time, however the server fares, and its latency counts from then;
    --concurrency is the closed loop. Any OpenAI-compatible server will do.
    """
    text = text or endpoint is Api.CHAT
    how = How(rate, concurrency, ramp, warm_up, drain, seed, text)
    with told_plainly(as_json=json):
        if concurrency is not None and (rate is not None or arrivals is not None or ramp):
            words = "who waits for a place has no rate; leave --rate, --arrivals and --ramp out"
            raise ConfigError(f"--concurrency: {words}")
        found = probe(url, model=model, api=endpoint, text=text, key=api_key)
        typer.echo(f"headway: {url} serves {found.words}", err=True)
        promised = _classes(classes, found)
        named = {field.name: context.params.get(field.name) for field in fields(AskedLoad)}
        asked = OnlineLoad(**named | {"window": seconds or default_seconds})
        played = _played(found, read_load(asked, promised), asked, how)
        numbers = figures(played, promised)
        if html is not None:
            title, of = f"{found.target.model} at {url}", _of(asked, numbers, concurrency)
            _write(html, measured_page(title, of, numbers, played.exchanges))
        if csv is not None:
            _write_csv(csv, played.exchanges, promised)
    _tell(numbers)
    if json:
        what = {"url": url, "model": found.target.model, "dialect": found.words, "seed": seed}
        last_line({**what, "concurrency": concurrency, **numbers})


def _classes(given: Sequence[str] | None, found: Found) -> Mapping[str, ServiceClass]:
    """Those of the server as the flags change them."""
    with told_of("--class"):
        return read_classes(";".join(given or ()), found.classes or BUILT_IN)


def _played(found: Found, load: Load, asked: AskedLoad, how: How) -> Played:
    own = load.rate if isinstance(load, Trace) and load.rate < inf else default_rate
    rate = how.rate or own
    before = _asked(load.arrivals(rate, warm_up_seed, inf), how._replace(ramp_s=0.0, seed=warm_up_seed))
    asyncio.run(play(islice(before, how.warm_up), found.target, patience_s, at_a_time=4))
    schedule = _asked(load.arrivals(rate, how.seed, inf), how)
    if how.concurrency is None:
        return _open(found, _in_time(schedule, asked), how.drain_s)
    assert asked.window is not None
    until_s = inf if asked.requests else asked.window
    return _closed(found, islice(schedule, asked.requests), how.concurrency, until_s, how.drain_s)


def _in_time(schedule: Iterable[Asked], asked: AskedLoad) -> list[Asked]:
    """So many as were asked for, or those of its seconds."""
    if asked.requests:
        return list(islice(schedule, asked.requests))
    until_s = asked.window or default_seconds
    found = list(takewhile(lambda each: each.at_s < until_s, schedule))
    if not found:
        raise ConfigError(f"--seconds {until_s:g}: nobody asks in that time; raise it, or --rate")
    return found


def _ramped(even_s: float, ramp_s: float) -> float:
    """When what would come at `even_s` at the whole rate comes while that grows for `ramp_s`."""
    return even_s + ramp_s / 2 if even_s >= ramp_s / 2 else sqrt(2 * ramp_s * even_s)


def _asked(arrivals: Iterable[Arrival], how: How) -> Iterator[Asked]:
    draw: Callable[[Arrival, int, int], list[int] | str] = as_text if how.text else as_ids
    for number, arrival in enumerate(arrivals):
        prompt = draw(arrival, number, how.seed)
        yield Asked(_ramped(arrival.at_s, how.ramp_s), arrival.service_class, prompt, arrival.output_tokens)


def _open(found: Found, schedule: Sequence[Asked], drain_s: float) -> Played:
    total = len(schedule)
    with live_line() as told:
        return asyncio.run(
            play(
                schedule,
                found.target,
                schedule[-1].at_s + drain_s,
                told=lambda client: told(_so_far(client, f" of {total:,}")),
            )
        )


def _closed(
    found: Found, schedule: Iterable[Asked], at_a_time: int, until_s: float, drain_s: float
) -> Played:
    with live_line() as told:
        return asyncio.run(
            play(
                schedule,
                found.target,
                until_s + drain_s,
                at_a_time=at_a_time,
                until_s=until_s,
                told=lambda client: told(_so_far(client, "")),
            )
        )


def _so_far(client: Client, of: str) -> str:
    """One line: how far the run is, and the p95 of what has come."""
    sent = client.exchanges
    ended = [e for e in sent if e.ended_s is not None]
    firsts = sorted(e.stamps[0] - e.asked.at_s for e in sent[-1000:] if e.stamps)
    gaps = sorted(b - a for e in sent[-100:] for a, b in zip(e.stamps, e.stamps[1:], strict=False))
    shown = [f"{1e3 * v[int(0.95 * (len(v) - 1))]:,.0f} ms" if v else "-" for v in (firsts, gaps)]
    counts = f"{client.now_s:.0f} s, {len(ended):,}{of} done, {len(sent) - len(ended)} open"
    return f"{counts}; p95 of late: first token {shown[0]}, between tokens {shown[1]}"


def _of(asked: AskedLoad, numbers: Mapping[str, Any], concurrency: int | None) -> str:
    source = asked.trace or asked.lengths or asked.workload_name
    rate = numbers["requested_rate"] or 0.0
    how = f"{rate:.3g} requests/s" if concurrency is None else f"{concurrency} at a time"
    return f"measured over HTTP: {source}, {how}, {numbers['successful'] + numbers['failed']:,} requests"


def _tell(numbers: Mapping[str, Any]) -> None:
    typer.echo(summary(numbers, "Headway load on a server"))
    for error, count in numbers["errors"].items():
        typer.echo(f"headway: {count} requests failed: {error}", err=True)
    if numbers["tokens_without_a_time"]:
        words = "tokens came without a time of their own; they are spread over their answers' events"
        typer.echo(f"headway: {numbers['tokens_without_a_time']:,} {words}", err=True)
    if not numbers["client"]["valid"]:
        lag_ms = 1e3 * numbers["client"]["lag_p99_s"]
        typer.echo(f"headway: NOT VALID: this client was {lag_ms:.0f} ms late; ask less of it", err=True)


def _write(path: Path, page: str) -> None:
    with _told_where(path, "--html"):
        path.write_text(page)


def _write_csv(path: Path, exchanges: Sequence[Exchange], classes: Mapping[str, ServiceClass]) -> None:
    with _told_where(path, "--csv"), path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for number, e in enumerate(exchanges):
            first_s, last_s = (e.stamps[0], e.stamps[-1]) if e.stamps else (None, None)
            times = (e.asked.at_s, e.dispatched_s, e.sent_s, e.first_byte_s, first_s, last_s, e.ended_s)
            met = meets(e.answer, classes[e.asked.service_class].targets)
            tokens = (e.prompt_tokens, len(e.stamps), e.asked.output_tokens)
            writer.writerow(
                [
                    number, e.asked.service_class, *("" if t is None else f"{t:.6f}" for t in times),
                    e.status, *tokens, int(e.complete), int(met), e.error,
                ]
            )  # fmt: skip


@contextmanager
def _told_where(path: Path, flag: str) -> Any:
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{flag} {path}: {error.strerror}") from error
    typer.echo(f"{path} is written", err=True)
