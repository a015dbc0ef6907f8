"""`headway sim --compare`: this machine's own server, asked over HTTP, beside its simulation.

Owns the plan: the same requests in both worlds, at shares of the capacity that the simulation finds, repeats
taking turns; then the server's capacity, searched for in the same way. What near enough means is
`bench/comparison.py`'s.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf
from typing import Any

import typer
from rich.table import Table

from headway.bench.comparison import Row, Values, capacity_row, rows, shown, values
from headway.bench.fields import number
from headway.bench.load import Played, play
from headway.bench.report import Answer, report
from headway.bench.served import Server, await_quiet, disturbance, left_alone, serving, usage
from headway.bench.wire import Asked as AskedOverHttp
from headway.bench.workload import Arrival, prompt_ids
from headway.cli.sim_own import Own, own_profile, server_flags
from headway.cli.sim_setup import Asked, Setup, set_up
from headway.config import ConfigError
from headway.sim.capacity import capacity, holds, most
from headway.sim.faults import NO_FAULTS
from headway.sim.judge import Judge
from headway.sim.simulate import Trial, run
from headway.terminal import show_table

usual_requests = 200
usual_promises = ["chat:ttft=2s,itl=200ms", "interactive:ttft=none,deadline=6s"]  # what two cores can keep
drain_s = 30.0  # what has not ended so long after the last arrival is missed
warm_up_requests, warm_up_rate, warm_up_seed = 8, 4.0, -1
search_from, tolerance, stride = 1.0, 0.05, 1.1  # of both capacities
look_s, most_wait_s = 1.0, 5.0  # before a run: so long quiet, or no longer waited for
most_tries = 3  # of a run, until one counts
most_rate = 1000.0  # requests per second
furthest = 1.5  # times, from the simulated capacity, that the real one is searched for

AskAll = Callable[[float, int], Sequence[Answer]]
"""All requests at this rate, in this repeat: what became of them."""


def compared(asked: Asked, seed: int, repeats: int, fractions: str) -> dict[str, Any]:
    """Raises what `told_plainly` knows."""
    shares = [number(text, "--fractions", 0.01, 10.0) for text in fractions.split(",")]
    if asked.window is not None or asked.leaving or asked.slow or asked.burst or asked.lose_rank is not None:
        words = "both worlds answer all of the same requests; leave the faults and --window out"
        raise ConfigError(f"--compare: {words}")
    own = own_profile(asked)
    asked = replace(
        asked,
        model=None,
        profile=own.profile,
        requests=asked.requests or usual_requests,
        classes=asked.classes or usual_promises,
    )
    setup = set_up(asked)
    _say(f"headway compares {own.model} with its simulation on {own.profile}")
    rate = asked.rate or _simulated_capacity(setup, partial(_simulated, setup, seed), repeats)
    with serving(own.model, server_flags(asked, own)) as server:
        setup = _as_served(setup, server)
        real = _Real(setup, server, seed)
        real.warm_up()
        found = _Found(rate, _compared(setup, real, partial(_simulated, setup, seed), rate, shares, repeats))
    _show(found, real.runs)
    return _as_json(found, own, setup, real.runs, real.tries)


@dataclass(frozen=True, slots=True)
class _Found:
    rate: float  # that the shares are of
    rows: list[Row]


def _compared(
    setup: Setup, real: AskAll, simulated: AskAll, rate: float, shares: Sequence[float], repeats: int
) -> list[Row]:
    """The last row is the capacity's, unless `rate` was given in its place."""
    count = setup.asked.requests
    assert count is not None
    seconds = sum(count / (share * rate) for share in shares) * repeats
    _say(f"{count} requests at {', '.join(f'{share * rate:.2f}' for share in shares)}/s: {seconds:.0f} s")
    runs: dict[float, list[Values]] = {share: [] for share in shares}
    for repeat in range(repeats):
        for share in shares:
            runs[share].append(values(real(share * rate, repeat), setup.classes))
    table = []
    for share in shares:
        ours = [values(simulated(share * rate, repeat), setup.classes) for repeat in range(repeats)]
        table += rows(share, runs[share], ours)
    if setup.asked.rate is None:
        _say("searching the server's capacity")
        table.append(capacity_row(_real_capacity(setup, real, rate, repeats), rate))
    return table


def _simulated_capacity(setup: Setup, ask: AskAll, repeats: int) -> float:
    def can(rate: float) -> bool:
        if rate > most_rate:
            raise ConfigError(f"--requests: {setup.asked.requests} are answered in time however they come")
        return _holds(setup, ask, rate, repeats)

    found = capacity(can, search_from, tolerance, stride)
    if not found:
        raise ConfigError("--class: no rate keeps these promises in simulation; loosen them, or give --rate")
    return found


def _real_capacity(setup: Setup, ask: AskAll, expected: float, repeats: int) -> float:
    """No further from what is expected than by `furthest`, where it is wrong in any case."""

    def can(rate: float) -> bool:
        if not expected / furthest < rate < expected * furthest:
            return rate < expected
        return _holds(setup, ask, rate, repeats)

    return capacity(can, expected, tolerance, stride)


def _holds(setup: Setup, ask: AskAll, rate: float, repeats: int) -> bool:
    """On most of the repeats."""
    reports = (report(ask(rate, repeat), setup.classes, 1.0) for repeat in range(repeats))
    return most(map(holds, reports), repeats)


def _arrivals(setup: Setup, rate: float, seed: int) -> list[Arrival]:
    """In both worlds a request says how long its answer will be, and ends there."""
    asked = setup.load.arrivals(rate, seed, inf)
    return [arrival._replace(max_tokens=arrival.output_tokens) for arrival in asked]


def _simulated(setup: Setup, seed: int, rate: float, repeat: int) -> Sequence[Answer]:
    """A repeat is another noise."""
    arrivals = _arrivals(setup, rate, seed)
    horizon_s = arrivals[-1].at_s + drain_s
    trial: Trial = replace(setup.trial(setup.machine.cost(seed + repeat)), horizon_s=horizon_s)
    judge = Judge(arrivals, setup.classes, inf, tolerated=1.0)
    run(trial, setup.policy(), setup.limits, arrivals, seed, judge)
    return judge.answers()


@dataclass(frozen=True, slots=True)
class _Run:
    """What else is to be known of a run over HTTP."""

    rate: float
    played: Played
    cores: dict[str, float]  # that others had

    @property
    def counts(self) -> bool:
        return self.played.valid and left_alone(self.cores)

    def as_json(self) -> dict[str, Any]:
        client = {"lag_p99_s": self.played.lag_p99_s, "cpu_share": self.played.cpu_share}
        return {"rate": self.rate, "counts": self.counts, "client": client, "cores": self.cores}


@dataclass(slots=True)
class _Real:
    """The server, asked by a client in this process."""

    setup: Setup
    server: Server
    seed: int
    runs: list[_Run] = field(default_factory=list)
    tries: int = 0

    def warm_up(self) -> None:
        """So that no first time falls into what is measured."""
        arrivals = _arrivals(self.setup, warm_up_rate, self.seed + warm_up_seed)[:warm_up_requests]
        self._play(arrivals, "warm-up")

    def __call__(self, rate: float, repeat: int) -> Sequence[Answer]:
        """What was disturbed is run again; after the last try it stands as it is."""
        for left in reversed(range(most_tries)):
            done = self._run(rate)
            what_now = "it is run again" if left else "it stands"
            doubt = "" if done.counts else f"; does not count, {what_now}: {_why(done)}"
            _say(f"  run {len(self.runs) + 1}: {rate:.2f}/s, repeat {repeat + 1}{doubt}")
            if done.counts:
                break
        self.runs.append(done)
        return done.played.answers

    def _run(self, rate: float) -> _Run:
        await_quiet(look_s, most_wait_s)
        before = usage(self.server)
        self.tries += 1
        played = self._play(_arrivals(self.setup, rate, self.seed), f"{self.seed}/{self.tries}")
        return _Run(rate, played, disturbance(before, usage(self.server)))

    def _play(self, arrivals: Sequence[Arrival], salt: str) -> Played:
        """No run finds in the prefix cache what another has left there."""
        schedule = [
            AskedOverHttp(a.at_s, a.service_class, prompt_ids(id, a), a.output_tokens, salt)
            for id, a in enumerate(arrivals)
        ]
        horizon_s = arrivals[-1].at_s + drain_s
        return asyncio.run(play(schedule, self.server.target, horizon_s))


def _why(run: _Run) -> str:
    cores = ", ".join(f"{name} had {value:.2f} cores" for name, value in run.cores.items())
    late = "" if run.played.valid else f", the client was {1e3 * run.played.lag_p99_s:.0f} ms late"
    return cores + late


def _as_served(setup: Setup, server: Server) -> Setup:
    """With the room that the server has now, not when the profile was made."""
    limits = setup.limits
    blocks, longest = server.kv_tokens // limits.block_size, server.max_model_len()
    return replace(setup, limits=replace(limits, blocks=blocks, max_model_len=longest), faults=NO_FAULTS)


def _show(found: _Found, runs: Iterable[_Run]) -> None:
    table = Table("", "at", "real", "repeats", "simulated", "ratio", "within", box=None)
    for row in found.rows:
        table.add_row(*shown(row))
    show_table(table)
    near, doubtful = sum(row.within for row in found.rows), [run for run in runs if not run.counts]
    words = f"latencies in ms; at: of {found.rate:.2f} requests/s"
    typer.echo(f"{near} of {len(found.rows)} within; {words}")
    if doubtful:
        words = "the machine was not left alone, or the client was late: no judgement of the simulator"
        typer.echo(f"headway: {len(doubtful)} runs do not count: {words}", err=True)


def _as_json(found: _Found, own: Own, setup: Setup, runs: Sequence[_Run], tries: int) -> dict[str, Any]:
    return {
        "model": own.model,
        "profile": str(own.profile),
        "machine": setup.machine.device,
        "requests": setup.asked.requests,
        "rate": found.rate,
        "rows": [row.as_json() for row in found.rows],
        "within": sum(row.within for row in found.rows),
        "counts": all(run.counts for run in runs),
        "run_again": tries - len(runs),
        "runs": [run.as_json() for run in runs],
    }


def _say(words: str) -> None:
    typer.echo(words, err=True)
