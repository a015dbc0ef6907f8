"""How commands end: a user's mistake is one line on stderr and exit code 2; --json is one last line."""

import asyncio
import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from headway.batch import BadFile
from headway.bench.fields import BadWorkload
from headway.bench.served import NotServed
from headway.bench.wire import BadTarget
from headway.config import ConfigError
from headway.hub import ModelNotFound
from headway.profile.file import BadProfile
from headway.server.offline import NotLoaded
from headway.spec import BadModel
from headway.text.chat_template import TemplateError
from headway.text.tokenizer import BadTokenizer

refusals = (
    ConfigError,
    BadFile,
    BadProfile,
    BadTarget,
    BadWorkload,
    ModelNotFound,
    BadModel,
    BadTokenizer,
    TemplateError,
    NotLoaded,
    NotServed,
)


@contextmanager
def told_plainly(*, as_json: bool) -> Iterator[None]:
    """What the user can put right leaves as one line and exit code 2."""
    try:
        yield
    except refusals as error:
        typer.echo(f"headway: {error}", err=True)
        if as_json:
            last_line({"error": str(error)})
        raise typer.Exit(2) from error


@contextmanager
def sigterm_as_ctrl_c() -> Iterator[None]:
    """So that whoever is told to end says first how far it has come."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def sigterm_cancels() -> Iterator[None]:
    """The task that is in here. An exception out of nowhere could leave a loop waiting for ever."""
    loop, task, before = asyncio.get_running_loop(), asyncio.current_task(), signal.getsignal(signal.SIGTERM)
    assert task is not None
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
        signal.signal(signal.SIGTERM, before)


def last_line(answer: dict[str, object]) -> None:
    typer.echo(json.dumps(answer))
