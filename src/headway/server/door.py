"""Where a checked body becomes requests for the engine: prompts are counted, seeds are drawn, ids are given.

Owns that tokenizing and templates run in threads, behind a cap on the text's length. Whether there is room at
this moment is the engine's verdict, not this one's.
"""

import asyncio
import time
from array import array
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from itertools import count
from random import SystemRandom
from typing import TypeVar

from headway.core.types import Request, Sampling
from headway.server.engine_client import EngineClient
from headway.server.errors import ApiError, bad
from headway.server.fields import largest_seed
from headway.server.sampling import check_fields, make_sampling, output_tokens, token_array
from headway.server.schema import Chat, Completion, Generate, Tokenize
from headway.server.service_class import AskedClass
from headway.server.wire import Facts
from headway.text.chat_template import ChatTemplate, TemplateError, TemplateStuck
from headway.text.tokenizer import BadText, Tokenizer

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asked:
    """One body, as requests: choice c of request r is answer r * choices + c."""

    requests: tuple[Request, ...]
    choices: int
    service_class: AskedClass
    prompts: tuple[str, ...] = ()  # their texts, where the answer repeats them

    @property
    def sampling(self) -> Sampling:
        return self.requests[0].sampling


class Door:
    def __init__(
        self,
        client: EngineClient,
        tokenizer: Tokenizer,
        template: ChatTemplate,
        threads: Executor,
        seed: int | None,
    ) -> None:
        self._client = client
        self.tokenizer = tokenizer
        self._template = template
        self._threads = threads
        self._seeds = count(SystemRandom().randrange(largest_seed // 2) if seed is None else seed)

    @property
    def facts(self) -> Facts:
        facts = self._client.facts
        assert facts is not None, "nothing is asked of an engine that has not loaded"
        return facts

    async def completion(self, body: Completion, arrival_s: float, service_class: AskedClass) -> Asked:
        """Raises ApiError 400."""
        check_fields(body, self.facts)
        prompts = [token_array(await self._ids(prompt, body)) for prompt in body.prompt]
        asked = self._asked(body, prompts, arrival_s, service_class)
        if not body.echo:
            return asked
        texts = [p if isinstance(p, str) else await self.text_of(p) for p in body.prompt]
        return replace(asked, prompts=tuple(texts))

    async def chat(self, body: Chat, arrival_s: float, service_class: AskedClass) -> Asked:
        """Raises ApiError 400."""
        check_fields(body, self.facts)
        ids = await self.chat_ids(body)
        return self._asked(body, [token_array(ids)], arrival_s, service_class)

    def _asked(
        self,
        body: Generate,
        prompts: Sequence["array[int]"],
        arrival_s: float,
        service_class: AskedClass,
    ) -> Asked:
        context, eos_ids = self.facts.max_model_len, self.tokenizer.eos_ids
        requests = []
        for prompt in prompts:
            most = output_tokens(body, len(prompt), context)
            requests.append(
                Request(
                    id=self._client.new_id(),
                    prompt=prompt,
                    sampling=make_sampling(body, eos_ids, next(self._seeds), most),
                    arrival_s=arrival_s,
                    choices=body.n or 1,
                    service_class=service_class.name,
                    own=service_class.own,
                    cache_salt=(body.cache_salt or "").encode(),
                )
            )
        return Asked(tuple(requests), body.n or 1, service_class)

    async def _ids(self, prompt: str | list[int], body: Completion) -> list[int]:
        if not isinstance(prompt, str):
            return prompt
        return await self.text_ids(prompt, "prompt", add_special=body.add_special_tokens is not False)

    async def text_ids(self, text: str, param: str, *, add_special: bool) -> list[int]:
        """Raises ApiError 400."""
        self._check_length(text, param)
        try:
            ids = await self._in_thread(lambda: self.tokenizer.encode(text, add_special))
        except BadText as error:
            raise bad(f"{param}: {error}", param) from None
        if not ids:
            raise bad(f"{param}: it has no token", param)
        return ids

    async def chat_ids(self, body: Chat | Tokenize) -> list[int]:
        """A template writes the special tokens itself, so none are added unasked. Raises ApiError 400."""
        plain: list[dict[str, object]] = [
            {"role": "system" if m.role == "developer" else m.role, "content": m.as_text()}
            for m in body.messages or ()
        ]
        add_generation_prompt = body.add_generation_prompt is not False
        self._check_length("".join(str(m["content"]) for m in plain), "messages")
        try:
            text = await self._in_thread(
                lambda: self._template.render(plain, add_generation_prompt=add_generation_prompt)
            )
        except TemplateStuck as error:
            raise ApiError(503, str(error), code="template_stuck", retry_after_s=1.0) from None
        except TemplateError as error:
            raise bad(f"messages: {error}", "messages") from None
        return await self.text_ids(text, "messages", add_special=body.add_special_tokens is True)

    async def text_of(self, ids: Sequence[int]) -> str:
        return await self._in_thread(lambda: self.tokenizer.decode(ids, skip_special=False))

    def _check_length(self, text: str, param: str) -> None:
        """Refuse what is far too long at once; the rest is counted by tokenizing it."""
        fewest, context = self.tokenizer.fewest_tokens(text), self.facts.max_model_len
        if fewest > context:
            words = f"{param}: {len(text):,} characters are {fewest:,} tokens or more"
            words += f"; the context holds {context:,}"
            raise ApiError(400, words, param=param, code="context_length_exceeded")

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def now_s() -> float:
    """The engine's clock, which is the same in every process of a machine."""
    return time.monotonic()
