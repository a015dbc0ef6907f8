"""`headway bench`: measure a server over HTTP, or the engine in this process.

The library is imported when a measurement begins: it brings torch, which the other commands do without.
"""

from array import array
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from functools import partial
from os import environ
from queue import SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from typer.core import TyperGroup

from headway.bench.offline import Rates, Run, Workload, measure
from headway.cli import flags
from headway.cli.bench_online import online
from headway.cli.ending import last_line, told_plainly
from headway.config import ConfigError, Settings
from headway.config_sources import Flag, load_settings
from headway.core.types import Event, Finished, Refused, Sampling, Stepped
from headway.hub import resolve
from headway.rounding import ceil_div
from headway.sizing import Facts
from headway.terminal import counting, fetching, show_table

if TYPE_CHECKING:
    from headway.llm.engine_thread import EngineThread


class UrlIsOnline(TyperGroup):
    """`headway bench http://...` is `headway bench online http://...`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # of click, which typer has or brings
        if args and "://" in args[0]:
            args = ["online", *args]
        return super().resolve_command(ctx, args)


app = typer.Typer(cls=UrlIsOnline, no_args_is_help=True, help="Measure a server, or the engine alone.")
app.command()(online)


@app.callback()
def group() -> None:
    """Measure a server, or the engine alone."""


@app.command()
def offline(
    context: typer.Context,
    model: flags.Model = None,
    batch_sizes: Annotated[str, typer.Option(help="Batch sizes, with commas between.")] = "1,4,16,32,64",
    prompt_tokens: Annotated[int, typer.Option(min=1, max=1 << 20, help="Tokens of each prompt.")] = 128,
    output_tokens: Annotated[int, typer.Option(min=2, max=1 << 20, help="Tokens of each answer.")] = 64,
    repeat: Annotated[int, typer.Option(min=1, max=100, help="Runs per batch size; medians count.")] = 1,
    seed: flags.Seed = None,
    threads: flags.Threads = None,
    kernels: flags.KernelNames = None,
    max_num_batched_tokens: flags.MaxNumBatchedTokens = None,
    kv_cache_memory: flags.KvCacheMemory = None,
    block_size: flags.BlockSize = None,
    json: flags.Json = False,
) -> None:
    """Prefill and decode rates of the engine in this process, without HTTP.

    Prefill tok/s: prompt tokens over the time of steps in which prompts ran. Decode tok/s: output tokens of
    steps without prompts over the time of these; tpot_ms is their mean. Random prompts, greedy, end of text
    ignored, no prefix cache, prompts before decodes (prefill-first); a warm-up per batch size is not counted.
    """
    from headway.llm.engine_thread import EngineThread

    with told_plainly(as_json=json):
        sizes = _sizes(batch_sizes)
        settings = _settings(flags.settings_among(context.params), max(sizes))
        with fetching(settings.model) as progress:
            path = resolve(settings.model, progress=progress)
        with closing(EngineThread(settings, path, lambda phase, seconds: None)) as engine:
            _check_room(engine.facts, max(sizes), prompt_tokens + output_tokens)
            workload = Workload(prompt_tokens, output_tokens, engine.facts.vocab, repeat, settings.seed or 0)
            with counting("measuring", len(sizes) * (repeat + 1), shown=True) as done:
                run = partial(_run, engine)
                results = [measure(run, workload, size, done) for size in sizes]
    _show(results)
    if json:
        last_line({"results": [asdict(rates) for rates in results]})


def _settings(given: Mapping[str, Flag], batch_size: int) -> Settings:
    """What was given, with what this measurement is made of. Raises ConfigError in this command's words."""
    own = {"policy": "prefill-first", "batch_wait": "0", "prefix_caching": "false", "max_num_seqs": "1"}
    settings = load_settings({**given, **own}, environ)
    tokens = settings.max_num_batched_tokens
    if batch_size > tokens:
        raise ConfigError(
            f"--batch-sizes: a step of {tokens} tokens cannot give {batch_size} sequences one each; "
            f"set --max-num-batched-tokens {batch_size}"
        )
    return replace(settings, max_num_seqs=batch_size)


def _sizes(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.strip().isdecimal() and 1 <= int(part) <= 4096 for part in parts):
        raise ConfigError(
            f"--batch-sizes: {text!r} is not a list of whole numbers from 1 to 4,096, such as 1,4,16"
        )
    return [int(part) for part in parts]


def _check_room(facts: Facts, batch_size: int, tokens: int) -> None:
    """Every sequence must stay in, or pre-emption would be measured."""
    if tokens > facts.max_model_len:
        raise ConfigError(
            f"--prompt-tokens and --output-tokens make {tokens} together; "
            f"the context holds {facts.max_model_len}"
        )
    blocks = batch_size * ceil_div(tokens, facts.block_size)
    if blocks > facts.blocks:
        needed_mib = ceil_div(blocks * (facts.kv_bytes // facts.blocks), 1 << 20)
        raise ConfigError(
            f"{batch_size} sequences of {tokens} tokens do not fit the KV cache of {facts.kv_tokens} tokens; "
            f"set --kv-cache-memory {needed_mib}MiB, or leave the largest of --batch-sizes out"
        )


def _run(engine: "EngineThread", prompts: Sequence["array[int]"], output_tokens: int) -> Run:
    """All prompts handed in at once; back when the last answer has ended."""
    sampling = Sampling(max_tokens=output_tokens, temperature=0.0, ignore_eos=True, seed=0)
    frames: list[Stepped] = []
    heard: SimpleQueue[Event | Exception] = SimpleQueue()
    engine.switchboard.on_step = frames.append
    start_s = monotonic()
    engine.submit_together(prompts, sampling, heard.put)
    waiting = len(prompts)
    while waiting:
        event = heard.get()
        if isinstance(event, Exception):  # the engine has gone
            raise event
        assert not isinstance(event, Refused), f"the engine refused a prompt: {event}"
        waiting -= isinstance(event, Finished)
    return Run(start_s, frames)


def _show(results: Sequence[Rates]) -> None:
    table = Table("batch", "prefill tok/s", "decode tok/s", "ms per output token", box=None)
    for column in table.columns:
        column.justify = "right"
    for r in results:
        table.add_row(
            str(r.batch_size), f"{r.prefill_tok_s:,.0f}", f"{r.decode_tok_s:,.1f}", f"{r.tpot_ms:,.1f}"
        )
    show_table(table)
