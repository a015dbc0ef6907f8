"""A server's parts put together over an engine process, and taken apart: what `serve` and `run` share.

Owns the order of both, and that an engine which ends without a word is noticed. Decides nothing of a request.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from importlib.metadata import version

from headway.metrics.export import Outlook, Pool, exposition
from headway.metrics.ledger import Ledger
from headway.server.door import Door, now_s
from headway.server.engine_client import EngineClient
from headway.server.engine_process import EngineProcess
from headway.server.open_exchanges import OpenExchanges
from headway.server.record import Recorder
from headway.server.services import Services
from headway.server.settings import ServerSettings
from headway.server.slo import slo_json
from headway.server.tuning import Tuning
from headway.text.chat_template import ChatTemplate
from headway.text.tokenizer import Tokenizer

_watch_s = 0.05  # how soon it is noticed


@asynccontextmanager
async def connected(
    settings: ServerSettings,
    engine: EngineProcess,
    tokenizer: Tokenizer,
    template: ChatTemplate,
    told: Callable[[str, float], None],
    record: Recorder | None = None,
) -> AsyncIterator[Services]:
    """Services over an engine that may still be loading; `told` hears its phases. Ends by hanging up."""
    ledger = Ledger(settings.classes)
    client = EngineClient(ledger, step_limit_s=settings.step_limit_s, told=told, record=record)
    await client.connect(engine.connection)
    tuning = Tuning(settings, client, ledger)
    watching = asyncio.create_task(_watch(engine, client))

    def outlook() -> Outlook:
        facts = client.facts
        if facts is None:
            return Outlook(now_s(), client.state, None)
        return Outlook(now_s(), client.state, Pool(facts.block_size, facts.blocks), facts.roof)

    with ThreadPoolExecutor(2, thread_name_prefix="headway-text") as threads:
        try:
            yield Services(
                settings=settings,
                client=client,
                open_exchanges=OpenExchanges(client),
                door=Door(client, tokenizer, template, threads, settings.seed),
                threads=threads,
                exposition=exposition(ledger, settings.model, outlook),
                tuning=tuning,
                promises=lambda: slo_json(ledger, tuning, now_s()),
                version=version("headway"),
            )
        finally:
            watching.cancel()
            tuning.close()
            await client.close()


async def _watch(engine: EngineProcess, client: EngineClient) -> None:
    while (code := engine.exit_code()) is None:
        await asyncio.sleep(_watch_s)
    client.lost(f"the engine process ended with code {code}")
