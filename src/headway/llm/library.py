"""LLM: prompts in, outputs out, from an engine that runs in a thread of this process.

Owns the waiting for answers: many at a time, or one as it grows. Several LLMs fit in one process.
"""

import asyncio
from array import array
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple, Self

from headway.build import Told
from headway.config import Settings
from headway.core.types import Accepted, Cancel, Event, Refused, Retuned, Sampling, Stepped
from headway.hub import resolve
from headway.llm.door import (
    BadRequest,
    Door,
    Message,
    Prompt,
    conversations_of,
    messages_of,
    prompts_of,
    samplings_of,
)
from headway.llm.engine_thread import EngineGone, EngineThread
from headway.llm.output import Assembly, Output, Piece
from headway.terminal import counting, fetching
from headway.text.chat_template import ChatTemplate
from headway.text.tokenizer import load_tokenizer

default_sampling = Sampling()


class Asked(NamedTuple):
    """A request fit for the engine."""

    prompt: "array[int]"
    sampling: Sampling
    service_class: str


def _nobody(phase: str, seconds: float) -> None:
    """Hears what loading does, and says nothing."""


Heard = SimpleQueue[tuple[int, Event | EngineGone]]


def _put(heard: Heard, place: int, event: Event | EngineGone) -> None:
    heard.put((place, event))


class LLM:
    """A loaded model. Use it with `with`, or close it: its memory and its thread are held until then."""

    def __init__(self, model: str | Path | Settings = "smollm2", *, told: Told = _nobody) -> None:
        """`model` is named as on the command line; Settings say more. `told` hears what loading does.

        Raises ConfigError, ModelNotFound, BadModel.
        """
        settings = model if isinstance(model, Settings) else Settings(model=str(model))
        with fetching(settings.model) as progress:
            path = resolve(settings.model, progress=progress)
        self.tokenizer = load_tokenizer(path)
        self._template = ChatTemplate.of(self.tokenizer, settings.chat_template)
        self._engine = EngineThread(settings.offline, path, told)
        self.facts = self._engine.facts
        self._door = Door(self.tokenizer, self.facts.vocab, settings.seed, tuple(settings.service_classes))
        self._window = 4 * settings.max_num_seqs  # requests inside at a time; more would only cost memory

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Give memory and thread back. Whoever still waits hears EngineGone."""
        self._engine.close()

    def generate(
        self,
        prompts: Prompt | Sequence[Prompt],
        sampling: Sampling | Sequence[Sampling] = default_sampling,
        *,
        service_class: str = "batch",
        progress: bool = True,
    ) -> list[Output]:
        """One output per prompt, in their order; `sampling` is one for all, or one each.

        A prompt is a text or a list of token ids. Class `batch` is for throughput; any other of the Settings'
        makes its promises here too.

        Raises BadRequest, before anything runs wherever that can be known, and EngineGone.
        """
        several = prompts_of(prompts)
        pairs = zip(several, samplings_of(sampling, len(several)), strict=True)
        return self._all([self.ask(prompt, each, service_class) for prompt, each in pairs], progress)

    def chat(
        self,
        conversations: Sequence[Message] | Sequence[Sequence[Message]],
        sampling: Sampling | None = None,
        *,
        service_class: str = "batch",
        progress: bool = True,
    ) -> list[Output]:
        """The next message of one conversation, or of several. `sampling` None: as long as there is room.

        Raises BadRequest, TemplateError and EngineGone.
        """
        each = conversations_of(conversations)
        return self._all([self.ask_chat(messages, sampling, service_class) for messages in each], progress)

    async def stream(
        self, prompt: Prompt, sampling: Sampling = default_sampling, *, service_class: str = "chat"
    ) -> AsyncIterator[Piece]:
        """Pieces as they are made; the last carries the whole output. Leaving early cancels the request.

        Raises BadRequest and EngineGone.
        """
        asked = self.ask(prompt, sampling, service_class)
        loop, heard = asyncio.get_running_loop(), asyncio.Queue[Event | EngineGone]()

        def listen(event: Event | EngineGone) -> None:
            with suppress(RuntimeError):  # the caller's loop is closed: nobody is left to tell
                loop.call_soon_threadsafe(heard.put_nowait, event)

        request = self._engine.submit(*asked, listen)
        assembly, output = Assembly(request, self.tokenizer), None
        try:
            while output is None:
                piece = self._add(assembly, await heard.get())
                if piece is not None:
                    output = piece.output
                    yield piece
        finally:
            if output is None:
                self._engine.cancel(Cancel(request.id))

    def ask(self, prompt: Prompt, sampling: Sampling, service_class: str = "batch") -> Asked:
        name = self._door.service_class(service_class)
        return Asked(self._door.token_ids(prompt), self._door.sampling(sampling), name)

    def ask_chat(
        self, messages: Sequence[Message], sampling: Sampling | None, service_class: str = "batch"
    ) -> Asked:
        name = self._door.service_class(service_class)
        text = self._template.render(messages_of(messages))
        prompt = array("i", self._door.text_ids(text, add_special=False))  # the template writes them
        if sampling is None:
            sampling = Sampling(max_tokens=max(1, self.facts.max_model_len - len(prompt)))
        return Asked(prompt, self._door.sampling(sampling), name)

    def as_finished(self, asked: Iterable[Asked]) -> Iterator[tuple[int, Output | BadRequest]]:
        """Each request's place and what became of it, as they end. Leaving early cancels the rest."""
        heard: Heard = SimpleQueue()
        inside: dict[int, Assembly] = {}  # by place
        coming = enumerate(asked)
        try:
            while True:
                while len(inside) < self._window and (entry := next(coming, None)) is not None:
                    place, one = entry
                    request = self._engine.submit(*one, partial(_put, heard, place))
                    inside[place] = Assembly(request, self.tokenizer)
                if not inside:
                    return
                place, event = heard.get()
                ended = self._ended(inside[place], event)
                if ended is not None:
                    del inside[place]
                    yield place, ended
        finally:
            for assembly in inside.values():
                self._engine.cancel(Cancel(assembly.request_id))

    def _ended(self, assembly: Assembly, event: Event | EngineGone) -> Output | BadRequest | None:
        try:
            piece = self._add(assembly, event)
        except BadRequest as refusal:
            return refusal
        return None if piece is None else piece.output

    def _add(self, assembly: Assembly, event: Event | EngineGone) -> Piece | None:
        """Add one event up; where it completes a stop string, tell the engine."""
        if isinstance(event, EngineGone):
            raise event
        if isinstance(event, Refused):
            raise BadRequest(event.message)
        if isinstance(event, Accepted | Stepped | Retuned):
            return None
        cancel = assembly.add(event)
        if cancel is not None:
            self._engine.cancel(cancel)
        return assembly.take()

    def _all(self, asked: Sequence[Asked], progress: bool) -> list[Output]:
        outputs: dict[int, Output] = {}
        with counting("generating", len(asked), shown=progress) as count:
            for place, ended in self.as_finished(asked):
                if isinstance(ended, BadRequest):
                    raise BadRequest(f"prompt {place}: {ended}")
                outputs[place] = ended
                count()
        return [outputs[place] for place in range(len(asked))]
