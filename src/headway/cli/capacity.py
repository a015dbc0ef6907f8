"""`headway capacity`: the largest rate at which every promise holds, how sure that is, and what binds."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path
from typing import Annotated, Any

import typer

from headway.bench.capacity_page import capacity_page
from headway.bench.largest_rate import Attempt, Found, Trial, largest_rate
from headway.bench.probe import probe
from headway.bench.served import serving
from headway.bench.wire import Api
from headway.classes import read_classes
from headway.cli import bench_flags, sim_setup, sweep_flags
from headway.cli.capacity_systems import Classes, Draws, System, over_http, simulated
from headway.cli.ending import last_line, sigterm_as_ctrl_c, told_plainly
from headway.cli.flags import Json
from headway.cli.pages import check_page, write_page
from headway.cli.sim_setup import AskedLoad, check_among, read_load, told_of
from headway.config import POLICY_NAMES, ConfigError
from headway.core.slo import BUILT_IN

default_model, default_requests, default_simulated = "smollm2", 200, 1000
default_trials = 24


def _option(help: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel="Search", **more)


Requests = Annotated[
    int | None,
    _option(
        f"Of each trial: too few, and no queue has time to grow. Default: {default_requests}; "
        f"{default_simulated:,} where it is simulated.",
        min=50, max=1_000_000, show_default=False,
    ),
]  # fmt: skip
Trials = Annotated[int, _option("In all.", min=8, max=1000)]
Guess = Annotated[float, _option("Requests per second of the first trial.", "--guess", min=1e-3, max=1e4)]
Profile = Annotated[
    Path | None,
    typer.Option(
        help="Simulate the machine that `headway calibrate` wrote this on.",
        rich_help_panel="System", metavar="FILE", show_default=False,
    ),
]  # fmt: skip


def capacity_command(
    target: sweep_flags.Target = default_model,
    device: sweep_flags.Device = None,
    profile: Profile = None,
    tp: sweep_flags.Tp = 1,
    policy: sweep_flags.Policy = None,
    served_model: sweep_flags.ServedModel = None,
    api_key: sweep_flags.ApiKey = None,
    text: sweep_flags.Text = False,
    workload: bench_flags.Workload = None,
    lengths: bench_flags.Lengths = None,
    mix: bench_flags.Mix = None,
    arrivals: bench_flags.Arrivals = None,
    classes: bench_flags.Classes = None,
    requests: Requests = None,
    trials: Trials = default_trials,
    guess: Guess = 1.0,
    seed: bench_flags.Seed = 1,
    html: bench_flags.Html = None,
    json: Json = False,
) -> None:
    """The largest rate at which every class keeps its promises, with an interval, and what binds.

    A promise holds where at most 5 in 100 of a class's requests miss it; a class without targets, where at
    most 10 in 100 end incomplete. The target is a model that is served for it, a server that runs, or a
    machine that is simulated: --device or --profile.
    """
    is_simulated, is_url = device is not None or profile is not None, "://" in target
    load = AskedLoad(
        workload=workload or ("sharegpt" if device else "small"), lengths=lengths, mix=mix, arrivals=arrivals,
        requests=requests or (default_simulated if is_simulated else default_requests),
    )  # fmt: skip
    with told_plainly(as_json=json), sigterm_as_ctrl_c():
        refused = {
            "--device": device is not None and (profile is not None or is_url),
            "--profile": profile is not None and is_url,
            "--tp": tp != 1 and device is None,
            "--policy": policy is not None and is_url and not is_simulated,
            "--model": served_model is not None and (is_simulated or not is_url),
            "--text": text and is_simulated,
            "--workload": workload is not None and lengths is not None,
        }
        if wrong := [name for name, is_wrong in refused.items() if is_wrong]:
            raise ConfigError(f"{wrong[0]}: it says nothing here; leave it out")
        if policy is not None:
            check_among("--policy", policy, POLICY_NAMES)
        check_page(html)
        if is_simulated:
            system = _simulated(target, device, profile, tp, policy, load, classes, seed)
            found = _search(system, guess, trials)
        else:
            with _real(target, policy, served_model, api_key, load, classes, text, seed) as system:
                found = _search(system, guess, trials)
        for line in words(found, load.requests or 0):
            typer.echo(line)
        if html is not None:
            write_page(html, capacity_page(f"Capacity of {target}", system.words, system.classes, found))
    if json:
        last_line({"target": target, "system": system.words, **as_json(found)})


def _simulated(
    target: str,
    device: str | None,
    profile: Path | None,
    tp: int,
    policy: str | None,
    load: AskedLoad,
    classes: list[str] | None,
    seed: int,
) -> System:
    named = {name: getattr(load, name) for name in AskedLoad.__dataclass_fields__}
    asked = sim_setup.Asked(
        **named, model=target, profile=profile, device=device, tp=tp, policy=policy or "adaptive",
        classes=classes,
    )  # fmt: skip
    return simulated(asked, seed)


@contextmanager
def _real(
    target: str,
    policy: str | None,
    served_model: str | None,
    api_key: str | None,
    asked: AskedLoad,
    given: list[str] | None,
    text: bool,
    seed: int,
) -> Iterator[System]:
    """Raises what `told_plainly` knows."""

    def promised(own: Classes | None) -> Classes:
        with told_of("--class"):
            return read_classes(";".join(given or ()), own or BUILT_IN)

    def draws(classes: Classes) -> Draws:
        return Draws(read_load(asked, classes), asked.requests or 0, text, seed)

    if "://" in target:
        found = probe(target, model=served_model, api=Api.COMPLETIONS, text=text, key=api_key)
        classes = promised(found.classes)
        attempt = over_http(found.target, classes, draws(classes))
        yield System(f"{target} serves {found.words}", classes, attempt)
    else:
        classes = promised(None)
        flags = ["--max-queue", "100000", *(["--policy", policy] if policy else [])]
        with serving(target, flags + [part for each in given or () for part in ("--class", each)]) as server:
            of = f"{target} served here by {policy or 'adaptive'}"
            yield System(of, classes, over_http(server.target, classes, draws(classes)))


def _search(system: System, guess: float, trials: int) -> Found:
    typer.echo(f"headway: {system.words}", err=True)
    return largest_rate(_told(system.attempt, trials), system.classes, guess, trials)


def _told(attempt: Attempt, trials: int) -> Attempt:
    """Each trial is a line: a search that is broken off has not been for nothing."""

    def told(rate: float, number: int) -> Trial:
        trial = attempt(rate, number)
        missed = ", ".join(f"{n} {trial.misses(n)} of {count}" for n, count in trial.requests.items())
        typer.echo(f"headway: trial {number + 1} of {trials}, {rate:.3g}/s: missed by {missed}", err=True)
        return trial

    return told


def words(found: Found, requests: int) -> Iterator[str]:
    binds = "nothing was missed" if found.binds is None else f"{found.binds[0]}'s {found.binds[1]} binds"
    low = f"{found.low:.3g}" if found.low else "open"
    high = "open" if found.high == inf else f"{found.high:.3g}"
    if found.rate:
        yield f"capacity {found.rate:.3g} requests/s, 95 % interval {low} to {high}; {binds}"
    elif found.rate is not None:
        yield f"no rate holds, not even {high} requests/s: {binds}"
    elif found.low:
        yield f"not found: {low} requests/s and all below held; a higher --guess or more --trials"
    else:
        yield f"not found: {high} requests/s and all above failed, {binds}; a lower --guess or more --trials"
    yield f"{len(found.trials)} trials of {requests:,} requests"


def as_json(found: Found) -> dict[str, Any]:
    binds = None if found.binds is None else {"class": found.binds[0], "target": found.binds[1]}
    trials = [
        {
            "rate": t.rate,
            "requests": dict(t.requests),
            "missed": [{"class": n, "target": of, "requests": c} for (n, of), c in t.missed.items()],
        }
        for t in found.trials
    ]
    ends = [found.low or None, None if found.high == inf else found.high]
    return {"capacity": found.rate, "interval": ends, "binds": binds, "trials": trials}
