"""`headway run`: answer a batch file, offline."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from os import environ
from pathlib import Path
from typing import IO, Annotated

import typer

from headway.batch import BadFile, Item, answer_all, read_requests, resume, stays
from headway.cli import flags
from headway.cli.ending import last_line, told_plainly
from headway.cli.startup import Started, server_settings, show_phase, started
from headway.config import Settings
from headway.config_sources import load_settings
from headway.server.engine_client import EngineGone
from headway.server.offline import application
from headway.terminal import counting

endless_queue = 1 << 20  # the file is the queue


def run(
    context: typer.Context,
    requests: Annotated[
        Path, typer.Option("--input", "-i", metavar="FILE", help="Requests, one JSON object a line.")
    ],
    answers: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Answers; those it holds already are kept.")
    ],
    model: flags.Model = None,
    max_model_len: flags.MaxModelLen = None,
    chat_template: flags.Template = None,
    seed: flags.Seed = None,
    threads: flags.Threads = None,
    policy: flags.PolicyName = None,
    max_num_seqs: flags.MaxNumSeqs = None,
    max_num_batched_tokens: flags.MaxNumBatchedTokens = None,
    kv_cache_memory: flags.KvCacheMemory = None,
    block_size: flags.BlockSize = None,
    kv_allocation: flags.KvAllocation = None,
    prefix_caching: flags.PrefixCaching = None,
    served_model_name: flags.ServedModelName = None,
    config: flags.Config = None,
    json: flags.Json = False,
) -> None:
    """Answer an OpenAI batch file: requests in, answers out, in the order in which they end.

    Each answer is written as it ends. Begun again with the same files, it goes on with the requests that have
    no answer yet. A request that is refused has its error as its answer; one that failed through no fault of
    its own has none, and the exit code is 1.
    """
    with told_plainly():
        settings = load_settings(flags.settings_among(context.params), environ, config)
        total = sum(1 for _ in read_requests(requests))  # all of it is checked before anything runs
        kept = resume(answers)
        left = [item for item in read_requests(requests) if item.custom_id not in kept]
        statuses = _answer(replace(settings, max_queue=endless_queue), left, answers) if left else []
    answered = sum(map(stays, statuses))
    counts = {
        "requests": total,
        "answered": answered,
        "failed": answered - statuses.count(200),
        "kept": total - len(left),
        "unanswered": len(statuses) - answered,
    }
    typer.echo(
        "{answered} answered, {failed} of them with an error; {kept} were answered before".format(**counts),
        err=True,
    )
    if json:
        last_line({**counts})
    if counts["unanswered"]:
        words = f"{counts['unanswered']} have no answer, through no fault of theirs"
        typer.echo(f"headway: {words}; run the same command again to go on", err=True)
        raise typer.Exit(1)


def _answer(settings: Settings, items: list[Item], answers: Path) -> list[int]:
    """The answers' statuses. Exits with 1 if the engine goes; what was answered by then is in the file."""
    statuses: list[int] = []
    try:
        with started(settings) as start, _appending(answers) as out:
            statuses = asyncio.run(_all(settings, start, items, out))
    except* EngineGone as gone:
        typer.echo(f"headway: {gone.exceptions[0]}; run the same command again to go on", err=True)
        raise typer.Exit(1) from None
    return statuses


@contextmanager
def _appending(path: Path) -> Iterator[IO[bytes]]:
    try:
        with path.open("ab") as out:
            yield out
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror}") from error


async def _all(settings: Settings, start: Started, items: list[Item], out: IO[bytes]) -> list[int]:
    """Through the server's own routes; its key is for callers from outside, and there are none."""
    inside = replace(server_settings(settings), api_key=None)
    async with application(inside, start.engine, start.tokenizer, start.template, show_phase) as app:
        with counting("answering", len(items), shown=True) as count:
            return await answer_all(app.post, items, out, 4 * settings.max_num_seqs, count)
