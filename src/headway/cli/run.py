"""`headway run`: answer a batch file, offline."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from os import environ
from pathlib import Path
from typing import IO, Annotated, NamedTuple

import typer

from headway.batch import BadFile, Item, answer_all, read_requests, resume, stays
from headway.cli import flags
from headway.cli.ending import last_line, sigterm_as_ctrl_c, sigterm_cancels, told_plainly
from headway.cli.startup import Started, server_settings, show_phase, started
from headway.config import Settings
from headway.config_sources import load_settings
from headway.server.listening import EngineGone
from headway.server.offline import application
from headway.terminal import counting

interrupted = 130  # the exit code of what Ctrl-C ended, as shells have it


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
    kernels: flags.KernelNames = None,
    profile: flags.Profile = None,
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
    with told_plainly(as_json=json), sigterm_as_ctrl_c():
        settings = load_settings(flags.settings_among(context.params), environ, config)
        total = sum(1 for _ in read_requests(requests))  # all of it is checked before anything runs
        kept = resume(answers)
        left = [item for item in read_requests(requests) if item.custom_id not in kept]
        end = _answer(settings.offline, left, answers) if left else End([])
    answered = sum(map(stays, end.statuses))
    counts = {
        "requests": total,
        "answered": answered,
        "failed": answered - end.statuses.count(200),
        "kept": total - len(left),
        "unanswered": len(left) - answered,
    }
    typer.echo(
        "{answered} answered, {failed} of them with an error; {kept} were answered before".format(**counts),
        err=True,
    )
    if json:
        last_line({**counts})
    if counts["unanswered"]:
        why = end.stopped or f"{counts['unanswered']} have no answer, through no fault of theirs"
        typer.echo(f"headway: {why}; run the same command again to go on", err=True)
        raise typer.Exit(end.exit_code)


class End(NamedTuple):
    statuses: list[int]  # of the answers that came
    stopped: str = ""  # why no more came
    exit_code: int = 1  # where requests are left without an answer


def _answer(settings: Settings, items: list[Item], answers: Path) -> End:
    """If the engine goes or the user ends it, what was answered by then is in the file."""
    end = End([])
    try:
        with started(settings) as start, _appending(answers) as out:
            asyncio.run(_all(settings, start, items, out, end.statuses))
    except* EngineGone as gone:
        end = end._replace(stopped=str(gone.exceptions[0]))
    except* (KeyboardInterrupt, asyncio.CancelledError):
        end = end._replace(stopped="interrupted", exit_code=interrupted)
    return end


@contextmanager
def _appending(path: Path) -> Iterator[IO[bytes]]:
    try:
        with path.open("ab") as out:
            yield out
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror}") from error


async def _all(
    settings: Settings, start: Started, items: list[Item], out: IO[bytes], statuses: list[int]
) -> None:
    """Through the server's own routes; its key is for callers from outside, and there are none.

    What names no class is `batch`: nobody waits for a line of a file.
    """
    inside = replace(server_settings(settings), api_key=None, default_class=settings.default_class or "batch")
    connecting = application(inside, start.engine, start.tokenizer, start.template, show_phase)
    with sigterm_cancels():
        async with connecting as app:
            with counting("answering", len(items), shown=True) as count:

                def told(status: int) -> None:
                    statuses.append(status)
                    count()

                await answer_all(app.post, items, out, 4 * settings.max_num_seqs, told)
