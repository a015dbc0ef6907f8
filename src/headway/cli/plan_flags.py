"""The flags of `headway plan` beside those it shares with `headway sim`: what is tried, and at what price."""

from pathlib import Path
from typing import Annotated

import typer

from headway.config import POLICY_NAMES
from headway.sim.precision import Precision

_bits = ", ".join(Precision)
_tried, _money, _what = "What is tried", "Money", "What to do"

Devices = Annotated[
    list[str] | None,
    typer.Option(
        "--device", help="Names with commas between, or all. Default: all.", rich_help_panel=_tried,
        show_default=False,
    ),
]  # fmt: skip
Tp = Annotated[
    str | None,
    typer.Option(
        "--tp", "-tp", help="Tensor parallelism. Default: those of 1,2,4,8 that divide the model.",
        rich_help_panel=_tried, show_default=False,
    ),
]  # fmt: skip
Pp = Annotated[str, typer.Option("--pp", "-pp", help="Pipeline parallelism: stages.", rich_help_panel=_tried)]
Gpus = Annotated[
    int, typer.Option(help="GPUs of a replica at most: those of a node.", min=1, rich_help_panel=_tried)
]
Weights = Annotated[str, typer.Option(help=f"Bits of the weights: {_bits}.", rich_help_panel=_tried)]
Kv = Annotated[str, typer.Option(help=f"Bits of the KV cache: {_bits}.", rich_help_panel=_tried)]
Policies = Annotated[
    str,
    typer.Option("--policy", help=f"Who comes first: {', '.join(POLICY_NAMES)}.", rich_help_panel=_tried),
]
Budgets = Annotated[
    str | None,
    typer.Option(
        "--max-num-batched-tokens", help="Tokens of a step at most. Default: each policy's own.",
        rich_help_panel=_tried, show_default=False,
    ),
]  # fmt: skip
MaxNumSeqs = Annotated[
    int, typer.Option(help="Sequences that run at most.", min=1, max=65_536, rich_help_panel=_tried)
]
Prices = Annotated[
    list[str] | None,
    typer.Option(
        "--price", metavar="DEVICE=DOLLARS", help="Of an hour of one device, in place of our placeholder.",
        rich_help_panel=_money, show_default=False,
    ),
]  # fmt: skip
Rate = Annotated[
    float | None,
    typer.Option(
        help="Requests per second that are wanted: how many replicas hold them. Default: cost at capacity.",
        min=1e-3, max=1e6, rich_help_panel=_money, show_default=False,
    ),
]  # fmt: skip
Seeds = Annotated[
    int, typer.Option(help="So many searches for each capacity: intervals.", min=1, max=10,
                      rich_help_panel=_what)
]  # fmt: skip
Page = Annotated[
    Path | None,
    typer.Option(help="Write a page to show.", metavar="FILE", rich_help_panel=_what, show_default=False),
]
