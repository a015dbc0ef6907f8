"""`headway capacity`: the largest rate at which every promise holds, how sure that is, and what binds."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path
from typing import Annotated, Any

import typer

from headway.bench.capacity_page import capacity_page
from headway.bench.largest_rate import Attempt, Found, Trial, largest_rate
from headway.classes import read_classes
from headway.cli import bench_flags, sim_setup, sweep_flags
from headway.cli.capacity_systems import Classes, Draws, System, at_url, over_http, served, simulated
from headway.cli.ending import last_line, told_plainly
from headway.cli.flags import Json
from headway.cli.sim_setup import AskedLoad, check_among, read_load, told_of
from headway.config import POLICY_NAMES, ConfigError
from headway.core.slo import BUILT_IN
from headway.sim.precision import Precision
from headway.terminal import counting

default_model = "smollm2"


def _option(help: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel="Search", **more)


Requests = Annotated[int, _option("Of each trial. More make the interval narrower.", min=20, max=1_000_000)]
Trials = Annotated[int, _option("In all.", min=8, max=1000)]
Guess = Annotated[float, _option("Requests per second of the first trial.", "--guess", min=1e-3, max=1e5)]
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
    requests: Requests = 100,
    trials: Trials = 16,
    guess: Guess = 1.0,
    html: bench_flags.Html = None,
    json: Json = False,
) -> None:
    """The largest rate at which every class keeps its promises, with an interval, and what binds.

    A promise holds where at most 5 in 100 of a class's requests miss it; a class without targets, where at
    most 10 in 100 end incomplete. The target is a model that is served for it, a server that runs, or a
    machine that is simulated: --device or --profile.
    """
    load = AskedLoad(
        workload=workload or ("sharegpt" if device else "small"), lengths=lengths, trace=None,
        trace_kind=None, mix=mix, arrivals=arrivals, requests=requests, window=None,
    )  # fmt: skip
    with told_plainly(as_json=json):
        if policy is not None:
            check_among("--policy", policy, POLICY_NAMES)
        if device is not None or profile is not None:
            system = _simulated(target, device, profile, tp, policy, load, classes)
            found = _search(system, guess, trials)
        else:
            with _real(target, policy, served_model, api_key, load, classes, text) as system:
                found = _search(system, guess, trials)
        if html is not None:
            _write(html, capacity_page(f"Capacity of {target}", system.words, system.classes, found))
    for line in words(found, requests):
        typer.echo(line)
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
) -> System:
    if device is not None and profile is not None:
        raise ConfigError("--device and --profile are two machines; leave one out")
    named = {name: getattr(load, name) for name in AskedLoad.__dataclass_fields__}
    return simulated(
        sim_setup.Asked(
            **named, model=target, profile=profile, device=device, devices=None, tp=tp, pp=1, nodes=1,
            weights=Precision.BITS16, kv=Precision.BITS16, memory_share=0.9, engine="headway",
            policy=policy or "adaptive", kv_allocation="paged", max_num_seqs=None,
            max_num_batched_tokens=None, max_model_len=None, max_queue=None, block_size=16,
            prefix_caching=True, classes=classes, rate=None, slow=None, lose_rank=None, leaving=0.0,
            burst=None,
        )
    )  # fmt: skip


@contextmanager
def _real(
    target: str,
    policy: str | None,
    served_model: str | None,
    api_key: str | None,
    asked: AskedLoad,
    given: list[str] | None,
    text: bool,
) -> Iterator[System]:
    """Raises what `told_plainly` knows."""

    def promised(own: Classes | None) -> Classes:
        with told_of("--class"):
            return read_classes(";".join(given or ()), own or BUILT_IN)

    def draws(classes: Classes) -> Draws:
        return Draws(read_load(asked, classes), asked.requests or 0, text)

    if "://" in target:
        if policy is not None:
            raise ConfigError("--policy: a server that runs has its own; leave it out")
        words, where, classes = at_url(target, served_model, api_key, promised, text)
        yield System(words, classes, over_http(where, classes, draws(classes), _late))
    else:
        classes = promised(None)
        with served(target, policy, given or ()) as where:
            of = f"{target} served here by {policy or 'adaptive'}"
            yield System(of, classes, over_http(where, classes, draws(classes), _late))


def _late(seconds: float) -> None:
    typer.echo(f"headway: NOT VALID: in this trial the client was {1e3 * seconds:.0f} ms late", err=True)


def _search(system: System, guess: float, trials: int) -> Found:
    typer.echo(f"headway: {system.words}", err=True)
    with counting("searching", trials, shown=True) as done:
        return largest_rate(_counted(system.attempt, done), system.classes, guess, trials)


def _counted(attempt: Attempt, done: Callable[[], None]) -> Attempt:
    def counted(rate: float, number: int) -> Trial:
        trial = attempt(rate, number)
        done()
        return trial

    return counted


def words(found: Found, requests: int) -> Iterator[str]:
    binds = "nothing was missed" if found.binds is None else f"{found.binds[0]}'s {found.binds[1]} binds"
    if not found.rate:
        yield f"no rate holds, down to {found.high:.3g} requests/s: {binds}"
    else:
        ends = (
            "-" if not found.low else f"{found.low:.3g}",
            "open" if found.high == inf else f"{found.high:.3g}",
        )
        yield f"capacity {found.rate:.3g} requests/s, 95 % interval {ends[0]} to {ends[1]}; {binds}"
    yield f"{len(found.trials)} trials of {requests} requests"


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
    high = None if found.high == inf else found.high
    return {"capacity": found.rate, "interval": [found.low, high], "binds": binds, "trials": trials}


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise ConfigError(f"--html {path}: {error.strerror}") from error
    typer.echo(f"{path} has the plots", err=True)
