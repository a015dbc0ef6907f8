"""The library's service classes: what a call is served as, and what it is told of a wrong name."""

import asyncio
from collections.abc import Iterator

import pytest

from headway.config import Settings
from headway.core.types import Reason, Sampling
from headway.llm import LLM, BadRequest
from tests.speaking_model import write_speaking_model

greedy = Sampling(max_tokens=3, temperature=0.0, ignore_eos=True)


@pytest.fixture(scope="module")
def llm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LLM]:
    """Nobody of class `never` waits for as long as an answer takes."""
    folder = str(write_speaking_model(tmp_path_factory.mktemp("model")))
    with LLM(Settings(model=folder, classes="never:ttft=1ms,on-overload=refuse", policy="adaptive")) as llm:
        yield llm


def seen(llm: LLM, name: str) -> bool:
    """Whether the engine has ever served a request as this class."""
    return llm._engine._built.engine.scheduler.learned.records[name].seen_s > 0


def test_lists_are_for_throughput_and_streams_for_someone_who_reads(llm: LLM) -> None:
    async def read() -> None:
        async for _ in llm.stream("a", greedy):
            continue

    llm.generate(["a"], greedy, progress=False)
    assert (seen(llm, "batch"), seen(llm, "chat"), seen(llm, "interactive")) == (True, False, False)
    asyncio.run(read())
    assert (seen(llm, "chat"), seen(llm, "interactive")) == (True, False)
    (output,) = llm.generate(["a"], greedy, service_class="interactive", progress=False)
    assert output.reason is Reason.LENGTH
    assert seen(llm, "interactive")


def test_a_class_of_the_settings_may_be_named(llm: LLM) -> None:
    (output,) = llm.generate(["a"], greedy, service_class="never", progress=False)
    assert output.usage.output_tokens == 3, "an idle engine refuses nobody"


def test_a_class_that_is_none_is_refused_with_those_there_are(llm: LLM) -> None:
    with pytest.raises(BadRequest, match="'gold' is not one of chat, interactive, batch, never"):
        llm.generate(["a"], service_class="gold", progress=False)
    with pytest.raises(BadRequest, match="service_class"):
        llm.chat([{"role": "user", "content": "a"}], service_class="gold", progress=False)
