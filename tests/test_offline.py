"""The application without a socket: what its callers are spared."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from headway.server.engine_client import hung_after_s
from headway.server.engine_process import EngineProcess
from headway.server.listening import EngineGone
from headway.server.offline import Application, application
from headway.server.settings import ServerSettings
from tests.server.byte_text import byte_template, byte_tokenizer
from tests.server.scripted_engine import Scripted

url, body = "/v1/completions", {"prompt": "a", "max_tokens": 4}


@asynccontextmanager
async def over_a_scripted_engine() -> AsyncIterator[tuple[Application, int]]:
    """The application, and its engine's process."""
    engine = EngineProcess(Scripted().command())
    tokenizer = byte_tokenizer()
    try:
        settings = ServerSettings(model="m")
        async with application(settings, engine, tokenizer, byte_template(tokenizer), _unheard) as app:
            yield app, engine.pid
    finally:
        engine.kill()
        engine.close()


def _unheard(phase: str, seconds: float) -> None:
    """Loading is not what is tested."""


def test_a_call_waits_for_an_engine_that_hangs() -> None:
    async def status_after_a_hang() -> int:
        async with over_a_scripted_engine() as (app, pid):
            os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(hung_after_s + 0.5)
            call = asyncio.create_task(app.post(url, body))
            await asyncio.sleep(0.1)  # time enough to be told that the engine hangs
            os.kill(pid, signal.SIGCONT)
            return (await call)[0]

    assert asyncio.run(status_after_a_hang()) == 200


def test_a_call_to_an_engine_that_has_died_has_no_answer() -> None:
    async def call() -> None:
        async with over_a_scripted_engine() as (app, pid):
            os.kill(pid, signal.SIGKILL)
            await app.post(url, body)

    with pytest.raises(EngineGone):
        asyncio.run(call())
