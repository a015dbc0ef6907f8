"""The flags of `headway sim`, in groups: what is simulated, who asks, what is promised, what goes wrong."""

from pathlib import Path
from typing import Annotated, Any

import typer

from headway.bench.lengths import LENGTHS
from headway.bench.trace_rows import KINDS
from headway.bench.workload import NAMED
from headway.config import POLICY_NAMES
from headway.core.memory import MEMORY_RULES
from headway.sim.fits import GENERATIONS
from headway.sim.precision import Precision

_bits = ", ".join(Precision)


def _option(group: str, help: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=group, **more)


_machine, _engine, _load, _faults, _what = "Machine", "Engine", "Requests", "Faults", "What to do"

Model = Annotated[
    str | None,
    _option(
        _machine,
        "Mistral-7B and others by name, or a config.json or .gguf. Default: Mistral-7B, or the profile's.",
        show_default=False,
    ),
]
Profile = Annotated[
    Path | None,
    _option(
        _machine,
        "The machine that headway calibrate measured, in place of a device.",
        metavar="FILE",
        show_default=False,
    ),
]
Device = Annotated[
    str | None,
    _option(
        _machine,
        "A100-80, H100 and others by name, or one of --devices. Default: A100-80.",
        show_default=False,
    ),
]
Devices = Annotated[Path | None, _option(_machine, "Your own devices, YAML or JSON.", metavar="FILE")]
Tp = Annotated[int, _option(_machine, "Tensor parallelism: GPUs of a stage.", "--tp", "-tp", min=1)]
Pp = Annotated[int, _option(_machine, "Pipeline parallelism: stages.", "--pp", "-pp", min=1)]
Nodes = Annotated[int, _option(_machine, "Nodes that the GPUs lie on, joined by Ethernet.", min=1)]
Weights = Annotated[Precision, _option(_machine, f"Bits of the weights: {_bits}.", show_choices=False)]
Kv = Annotated[Precision, _option(_machine, f"Bits of the KV cache: {_bits}.", show_choices=False)]
MemoryShare = Annotated[float, _option(_machine, "Share of a GPU's memory that is used.")]
Engine = Annotated[str, _option(_machine, f"Whose kernels and host: {', '.join(GENERATIONS)}.")]

PolicyName = Annotated[str, _option(_engine, f"Who comes first: {', '.join(POLICY_NAMES)}.")]
Memory = Annotated[str, _option(_engine, f"What a sequence must hold: {', '.join(MEMORY_RULES)}.")]
_as_served = "with --profile as headway serve has it."
MaxNumSeqs = Annotated[
    int | None,
    _option(
        _engine,
        f"Sequences that run at most. Default: 128; {_as_served}",
        min=1,
        max=65_536,
        show_default=False,
    ),
]
MaxNumBatchedTokens = Annotated[
    int | None,
    _option(
        _engine,
        "Tokens of a step at most. Default: 512 for stall-free, 4096 for adaptive and aimd, else 8192; "
        f"{_as_served}",
        min=1,
        max=1 << 20,
        show_default=False,
    ),
]
MaxModelLen = Annotated[
    int | None,
    _option(
        _engine,
        f"Tokens of a sequence at most. Default: 16384; {_as_served}",
        min=2,
        max=1 << 24,
        show_default=False,
    ),
]
MaxQueue = Annotated[
    int | None,
    _option(
        _engine,
        f"Sequences that wait at most. Default: a million; {_as_served}",
        min=1,
        max=1 << 20,
        show_default=False,
    ),
]
BlockSize = Annotated[int, _option(_engine, "Tokens of a KV block.", min=1, max=4096)]
PrefixCaching = Annotated[
    bool, _option(_engine, "Share what prompts have in common.", "--prefix-caching/--no-prefix-caching")
]
Classes = Annotated[
    list[str] | None,
    _option(
        _engine, "What is promised, such as chat:ttft=1s,itl=100ms.", "--class", metavar="NAME:KEY=VALUE"
    ),
]

_named = ", ".join([*NAMED, *LENGTHS])
WorkloadName = Annotated[
    str | None,
    _option(
        _load,
        f"{_named}; or PROMPT:ANSWER tokens, such as 100-500:64. Default: sharegpt; with --profile small.",
        show_default=False,
    ),
]
LengthsFile = Annotated[
    Path | None, _option(_load, "A CSV of lengths, drawn in pairs, in place of --workload.", metavar="FILE")
]
TraceFile = Annotated[
    Path | None, _option(_load, "Who asked when, in place of --workload.", "--trace", metavar="FILE")
]
TraceKind = Annotated[
    str | None, _option(_load, f"{', '.join(KINDS)}. Default: by its first line.", show_default=False)
]
Mix = Annotated[
    str | None, _option(_load, "Classes of the requests, such as chat=0.8,batch=0.2.", show_default=False)
]
Arrivals = Annotated[
    str | None,
    _option(
        _load,
        "poisson, constant, closed, gamma:CV, bursts:CV or diurnal:SECONDS. Default: the workload's.",
        show_default=False,
    ),
]
Rate = Annotated[
    float | None,
    _option(_load, "Requests per second. Default: 1, or a trace's own.", min=1e-6, show_default=False),
]
Requests = Annotated[
    int | None, _option(_load, "Stop after so many. Default: 1000.", min=1, show_default=False)
]
Window = Annotated[
    float | None,
    _option(
        _load,
        "Judge the requests of the first so many seconds; load goes on until they have ended.",
        min=1.0,
        show_default=False,
    ),
]
Seed = Annotated[int, _option(_load, "What is drawn is drawn from it.")]
Seeds = Annotated[
    int, _option(_load, "So many runs, of this seed and the next ones: intervals.", min=1, max=10)
]

Slow = Annotated[
    list[str] | None,
    _option(_faults, "Steps of this time take so many times as long.", metavar="FROM:TO:TIMES"),
]
LoseRank = Annotated[
    float | None, _option(_faults, "At this second a rank dies.", min=0.0, show_default=False)
]
Leaving = Annotated[float, _option(_faults, "Share of clients that leave early.", min=0.0, max=1.0)]
Bursts = Annotated[
    list[str] | None,
    _option(_faults, "So many requests more, all at this second.", "--burst", metavar="AT:REQUESTS"),
]

Capacity = Annotated[
    bool,
    _option(_what, "Find the largest rate at which 95 % of each class's promises are kept.", "--capacity"),
]
Compare = Annotated[
    bool,
    _option(
        _what,
        "Run the same requests over HTTP on this machine too, and show real beside simulated.",
        "--compare",
    ),
]
Repeats = Annotated[int, _option(_what, "With --compare: how often each rate is run.", min=1, max=20)]
Fractions = Annotated[
    str, _option(_what, "With --compare: rates, as shares of the capacity, or of --rate where it is given.")
]
Html = Annotated[Path | None, _option(_what, "Write a page with plots.", metavar="FILE", show_default=False)]
