"""The flags of `headway bench online`: who is asked, for what, how, and what is written."""

from pathlib import Path
from typing import Annotated, Any

import typer

from headway.bench.lengths import LENGTHS
from headway.bench.trace_rows import KINDS
from headway.bench.wire import Api
from headway.bench.workload import NAMED

_server, _load, _what = "Server", "Requests", "What to do"


def _option(group: str, help: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=group, show_default=False, **more)


Url = Annotated[str, typer.Argument(help="Such as http://127.0.0.1:8000.", show_default=False)]
Model = Annotated[str | None, _option(_server, "As the server calls it. Default: the first it names.")]
ApiKey = Annotated[str | None, _option(_server, "Sent as a bearer token.", envvar="HEADWAY_API_KEY")]
Endpoint = Annotated[Api, _option(_server, "completions or chat. Default: completions.", show_choices=False)]
Text = Annotated[
    bool,
    _option(_server, "Prompts of words, where a server takes no token ids. Default with chat.", "--text"),
]

Workload = Annotated[
    str | None,
    _option(_load, f"{', '.join([*NAMED, *LENGTHS])}; or PROMPT:ANSWER tokens. Default: small."),
]
Lengths = Annotated[
    Path | None, _option(_load, "A CSV of lengths, drawn in pairs, in place of --workload.", metavar="FILE")
]
Trace = Annotated[Path | None, _option(_load, "Who asked when, in place of --workload.", metavar="FILE")]
TraceKind = Annotated[str | None, _option(_load, f"{', '.join(KINDS)}. Default: by its first line.")]
Mix = Annotated[str | None, _option(_load, "Classes of the requests, such as chat=0.8,batch=0.2.")]
Arrivals = Annotated[
    str | None,
    _option(_load, "poisson, constant, gamma:CV, bursts:CV, diurnal:SECONDS. Default: the workload's."),
]
Rate = Annotated[
    float | None, _option(_load, "Requests per second. Default: 1, or a trace's own.", min=1e-3, max=1e5)
]
Concurrency = Annotated[
    int | None,
    _option(_load, "So many at a time, each as soon as one has ended, whatever the rate.", min=1, max=65_536),
]
Requests = Annotated[
    int | None, _option(_load, "So many in all. Default: as many as come in --seconds.", min=1)
]
Seconds = Annotated[
    float | None, _option(_load, "In which requests come, or are begun. Default: 60.", min=1.0, max=1e6)
]
Ramp = Annotated[
    float, _option(_load, "Seconds in which the rate grows from nothing. Default: 0.", min=0.0, max=1e5)
]
WarmUp = Annotated[int, _option(_load, "Requests before, that do not count. Default: 4.", min=0, max=10_000)]
Drain = Annotated[
    float, _option(_load, "Seconds after the last, in which answers may end. Default: 60.", min=0.0, max=1e6)
]
Seed = Annotated[int, _option(_load, "What is drawn is drawn from it. Default: 1.")]

Classes = Annotated[
    list[str] | None,
    _option(
        _what, "What to judge by, such as chat:ttft=1s,itl=100ms. Default: what the server promises.",
        "--class", metavar="NAME:KEY=VALUE",
    ),
]  # fmt: skip
Html = Annotated[Path | None, _option(_what, "Write a page with plots.", metavar="FILE")]
Csv = Annotated[Path | None, _option(_what, "Write a line for each request.", metavar="FILE")]
