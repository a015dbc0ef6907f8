"""Flags that several commands share, made from the settings; each command picks those that concern it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from headway.config import OPTIONS
from headway.config_sources import Flag


def _flag(name: str, *spellings: str) -> Any:
    option = OPTIONS[name]
    return typer.Option(
        *(spellings or (option.flag,)),
        metavar=option.kind.metavar,
        help=f"{option.help} Default: {option.default_words}.",
        rich_help_panel=option.group,
        show_default=False,
    )


_model = OPTIONS["model"]
Model = Annotated[
    str | None, typer.Argument(help=f"{_model.help} Default: {_model.default_words}.", show_default=False)
]
MaxModelLen = Annotated[str | None, _flag("max_model_len")]
Template = Annotated[str | None, _flag("chat_template")]
Seed = Annotated[str | None, _flag("seed")]
Threads = Annotated[str | None, _flag("threads")]
KernelNames = Annotated[str | None, _flag("kernels")]
Profile = Annotated[str | None, _flag("profile")]
PolicyName = Annotated[str | None, _flag("policy")]
MaxNumSeqs = Annotated[str | None, _flag("max_num_seqs")]
MaxNumBatchedTokens = Annotated[str | None, _flag("max_num_batched_tokens")]
BatchWait = Annotated[str | None, _flag("batch_wait")]
MaxQueue = Annotated[str | None, _flag("max_queue")]
Classes = Annotated[list[str] | None, _flag("classes")]
DefaultClass = Annotated[str | None, _flag("default_class")]
KvCacheMemory = Annotated[str | None, _flag("kv_cache_memory")]
BlockSize = Annotated[str | None, _flag("block_size")]
KvAllocation = Annotated[str | None, _flag("kv_allocation")]
PrefixCaching = Annotated[bool | None, _flag("prefix_caching", "--prefix-caching/--no-prefix-caching")]
Host = Annotated[str | None, _flag("host")]
Port = Annotated[str | None, _flag("port")]
ServedModelName = Annotated[str | None, _flag("served_model_name")]
Aliases = Annotated[list[str] | None, _flag("aliases")]
ApiKey = Annotated[str | None, _flag("api_key")]
ClassKeys = Annotated[list[str] | None, _flag("class_keys")]
TighteningKey = Annotated[str | None, _flag("tightening_key")]
AdminKey = Annotated[str | None, _flag("admin_key")]
Record = Annotated[str | None, _flag("record")]
ShutdownTimeout = Annotated[str | None, _flag("shutdown_timeout")]

Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="A YAML file of these settings.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Make the last line on stdout one JSON object.")]


def settings_among(parameters: Mapping[str, Any]) -> dict[str, Flag]:
    """Of a command's parameters, those that are settings."""
    return {name: value for name, value in parameters.items() if name in OPTIONS}
