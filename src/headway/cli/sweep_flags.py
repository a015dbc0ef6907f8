"""The flags of `headway sweep`: what is asked, with which loads, and what is written."""

from pathlib import Path
from typing import Annotated, Any

import typer

from headway.bench.sweep import usual_sizes
from headway.config import POLICY_NAMES

_system, _loads, _what = "System", "Loads", "What to do"


def _option(group: str, help: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=group, **more)


Target = Annotated[str, typer.Argument(help="A model that is served for it, or the URL of a server.")]
Device = Annotated[
    str | None,
    _option(_system, "Simulate the model on it: A100-80, H100 and others by name.", show_default=False),
]
Tp = Annotated[int, _option(_system, "With --device: tensor parallelism.", "--tp", "-tp", min=1)]
Policy = Annotated[
    str | None,
    _option(_system, f"Who comes first: {', '.join(POLICY_NAMES)}. Default: adaptive.", show_default=False),
]
ServedModel = Annotated[
    str | None,
    _option(
        _system,
        "Of a URL: as the server calls it. Default: the first it names.",
        "--model",
        show_default=False,
    ),
]
ApiKey = Annotated[
    str | None,
    _option(_system, "Sent to a URL as a bearer token.", envvar="HEADWAY_API_KEY", show_default=False),
]
Text = Annotated[bool, _option(_system, "Prompts of words, where a server takes no token ids.", "--text")]

BatchSizes = Annotated[
    str | None,
    _option(
        _loads, f"So many at a time; or x2 or x4: growing until --ttft is crossed. Default: {usual_sizes}.",
        show_default=False,
    ),
]  # fmt: skip
Rates = Annotated[
    str | None,
    _option(_loads, "Requests per second, such as 0.5,1,2, in place of batch sizes.", show_default=False),
]
PromptTokens = Annotated[int, _option(_loads, "Of each prompt.", min=1, max=1 << 20)]
OutputTokens = Annotated[int, _option(_loads, "Of each answer.", min=2, max=1 << 20)]
Seconds = Annotated[float, _option(_loads, "Of each rate.", min=1.0, max=1e5)]
Repeats = Annotated[
    int, _option(_loads, "Of each load; with two or more the knee has an interval.", min=1, max=50)
]

Ttft = Annotated[float, _option(_what, "Target of p95 TTFT, in seconds.", min=0.001, max=3600.0)]
Html = Annotated[Path | None, _option(_what, "Write a page with plots.", metavar="FILE", show_default=False)]
