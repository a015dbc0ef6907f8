"""`headway sim`: a model on devices that need not be here, under the engine's own scheduler."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

import typer

from headway.bench.report import Report
from headway.bench.run_page import run_page
from headway.bench.summary import summary
from headway.bench.traces import Trace
from headway.bench.workload import Workload
from headway.cli import sim_flags as flag
from headway.cli.ending import last_line, told_plainly
from headway.cli.flags import Json
from headway.cli.pages import write_page
from headway.cli.sim_compare import compared
from headway.cli.sim_setup import Asked, Setup, set_up, tail_s
from headway.config import ConfigError
from headway.sim.capacity import capacity, holds, most
from headway.sim.figures import figures, together
from headway.sim.observe import observe
from headway.sim.precision import Precision
from headway.sim.simulate import simulate
from headway.sim.timeline import Point
from headway.terminal import counting

tolerated = 0.05  # of a class's requests; at more a rate is known not to hold
capacity_window_s = 600.0
usual_rates = 12  # that a search asks about
point_names = [field.name for field in fields(Point)]
shown_intervals = ("attainment", "goodput", "output_tok_s", "ttft_s.p95", "tpot_s.p95", "e2e_s.p95")


def sim(
    context: typer.Context,
    model: flag.Model = None,
    profile: flag.Profile = None,
    device: flag.Device = None,
    devices: flag.Devices = None,
    tp: flag.Tp = 1,
    pp: flag.Pp = 1,
    nodes: flag.Nodes = 1,
    weights: flag.Weights = Precision.BITS16,
    kv: flag.Kv = Precision.BITS16,
    memory_share: flag.MemoryShare = 0.9,
    engine: flag.Engine = "headway",
    policy: flag.PolicyName = "adaptive",
    kv_allocation: flag.Memory = "paged",
    max_num_seqs: flag.MaxNumSeqs = None,
    max_num_batched_tokens: flag.MaxNumBatchedTokens = None,
    max_model_len: flag.MaxModelLen = None,
    max_queue: flag.MaxQueue = None,
    block_size: flag.BlockSize = 16,
    prefix_caching: flag.PrefixCaching = True,
    classes: flag.Classes = None,
    workload: flag.WorkloadName = None,
    lengths: flag.LengthsFile = None,
    trace: flag.TraceFile = None,
    trace_kind: flag.TraceKind = None,
    mix: flag.Mix = None,
    arrivals: flag.Arrivals = None,
    rate: flag.Rate = None,
    requests: flag.Requests = None,
    window: flag.Window = None,
    seed: flag.Seed = 1,
    seeds: flag.Seeds = 1,
    slow: flag.Slow = None,
    lose_rank: flag.LoseRank = None,
    leaving: flag.Leaving = 0.0,
    burst: flag.Bursts = None,
    find_capacity: flag.Capacity = False,
    compare: flag.Compare = False,
    repeats: flag.Repeats = 3,
    fractions: flag.Fractions = "0.5,0.8,0.95",
    html: flag.Html = None,
    json: Json = False,
) -> None:
    """Simulate a model on any device: what it would hold, with the engine's own scheduler.

    The same seed gives the same figures. --capacity searches the largest rate that keeps the promises;
    --compare holds this machine's own server beside its simulation.
    """
    with told_plainly(as_json=json):
        named = {field.name for field in fields(Asked)}
        asked = Asked(**{k: v for k, v in context.params.items() if k in named})
        if compare:
            _check_comparison(context.params)
            found = compared(asked, seed, repeats, fractions)
        else:
            setup, chosen = set_up(asked), list(range(seed, seed + seeds))
            found = _capacity(setup, chosen) if find_capacity else _runs(setup, chosen, html)
    if json:
        last_line(found)


def _check_comparison(given: Mapping[str, Any]) -> None:
    for name, usual in {"html": None, "find_capacity": False, "seeds": 1}.items():
        if given[name] != usual:
            flag = {"find_capacity": "--capacity"}.get(name, f"--{name}")
            raise ConfigError(f"{flag}: --compare has a plan of its own; leave {flag} out")


def _runs(setup: Setup, seeds: Sequence[int], html: Path | None) -> dict[str, Any]:
    found: list[dict[str, Any]] = []
    points: list[Sequence[Point]] = []
    with counting("simulating", len(seeds) * _expected(setup), shown=True) as done:
        for seed in seeds:
            run = observe(
                setup.trial(setup.machine.metered(seed)),
                setup.policy(),
                setup.limits,
                setup.rate,
                seed,
                dollars_per_hour=setup.machine.dollars_per_hour,
                told=done,
            )
            found.append(figures(run))
            points.append(run.timeline)
    typer.echo(summary(found[0], "Headway simulation"))
    intervals = together(found) if len(found) > 1 else {}
    for name in shown_intervals:
        if name in intervals:
            mean, low, high = intervals[name]
            typer.echo(f"{name:<16} {mean:.4g}, 95 % interval {low:.4g} to {high:.4g}, {len(found)} seeds")
    timeline = _columns(points[0])
    if html is not None:
        write_page(html, run_page(setup.machine.title, _of(setup), found[0], timeline))
    more = {} if not intervals else {"seeds": found, "intervals": intervals}
    return {**_what(setup), "seed": seeds[0], **found[0], "timeline": timeline, **more}


def _capacity(setup: Setup, seeds: Sequence[int]) -> dict[str, Any]:
    """The guess is the rate that was given."""
    if setup.asked.requests is not None:
        raise ConfigError("--capacity: load goes on for --window seconds; leave --requests out")
    load, window_s = setup.load, setup.window_s
    if isinstance(load, Workload):
        load, window_s = replace(load, requests=None), min(window_s, capacity_window_s)

    def report_of(rate: float, seed: int) -> Report:
        trial = replace(
            setup.trial(setup.machine.cost(seed)),
            workload=load,
            window_s=window_s,
            horizon_s=window_s + tail_s,
        )
        return simulate(trial, setup.policy(), setup.limits, rate, seed, tolerated=tolerated)

    def can(told: Callable[[], None], rate: float) -> bool:
        told()
        return most((holds(report_of(rate, seed)) for seed in seeds), len(seeds))

    with counting("searching", usual_rates, shown=True) as done:
        found = capacity(partial(can, done), setup.rate)
    typer.echo(f"Capacity (req/s): {found:.3f}, on most of {len(seeds)} seeds")
    return {**_what(setup), "seeds": list(seeds), "capacity": found}


def _what(setup: Setup) -> dict[str, Any]:
    """What was simulated."""
    of, limits = setup.machine, setup.limits
    return {
        "model": of.model,
        "device": of.device,
        "tp": of.tp,
        "pp": of.pp,
        "policy": setup.asked.policy,
        "max_num_seqs": limits.max_seqs,
        "max_num_batched_tokens": limits.max_step_tokens,
        "kv_tokens": limits.blocks * limits.block_size,
        "rate": setup.rate,
        "dollars_per_hour": of.dollars_per_hour,
    }


def _of(setup: Setup) -> str:
    of, limits, asked = setup.machine, setup.limits, setup.asked
    source = asked.trace or asked.lengths or asked.workload_name
    return (
        f"simulated: {source} at {setup.rate:.3g} requests/s; {asked.policy}, at most {limits.max_seqs} "
        f"sequences and {limits.max_step_tokens} tokens a step; {of.words}; "
        f"KV of {limits.blocks * limits.block_size:,} tokens"
    )


def _expected(setup: Setup) -> int:
    """How many requests there will be, about."""
    load = setup.load
    if isinstance(load, Trace):
        return len(load.requests)
    most_requests = load.requests if isinstance(load, Workload) and load.requests else inf
    return max(1, int(min(most_requests, setup.rate * (setup.window_s + tail_s))))


def _columns(points: Sequence[Point]) -> Mapping[str, list[float]]:
    return {name: [getattr(point, name) for point in points] for name in point_names}
