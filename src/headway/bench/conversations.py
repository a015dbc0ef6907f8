"""Conversations: requests whose prompt is all that was said before, and something new.

Owns how one turn follows another. Open loop like every load here: the next turn comes when it comes, whether
or not the answer before it is there.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from random import Random

from headway.bench.arrivals import poisson
from headway.bench.lengths import Draws
from headway.bench.workload import Arrival, Prefix, Workload

_first_hash = 1 << 32  # beyond those of common texts


@dataclass(frozen=True, slots=True)
class Conversations:
    """A Load of so many turns each, fewer where the context is full before; `think_s` apart on average."""

    first: Workload  # whose requests begin them
    turns: int
    think_s: float
    said: Draws  # what is new in a later prompt, and its answer
    context_tokens: int  # the most of a prompt and its answer's limit

    def arrivals(self, rate: float, seed: int, until_s: float) -> Iterator[Arrival]:
        """`rate`: of requests, were all conversations to have all their turns."""
        thinking, saying = Random(f"{seed}/thinking"), Random(f"{seed}/saying")
        coming: list[tuple[float, int, Arrival]] = []  # in order of time, then of drawing
        order = count()
        for number, first in enumerate(self.first.arrivals(rate / self.turns, seed, until_s)):
            while coming and coming[0][0] <= first.at_s:
                yield heappop(coming)[2]
            for turn in self._conversation(first, _first_hash + number, thinking, saying):
                if turn.at_s < until_s:
                    heappush(coming, (turn.at_s, next(order), turn))
        while coming:
            yield heappop(coming)[2]

    def _conversation(
        self, first: Arrival, number: int, thinking: Random, saying: Random
    ) -> Iterator[Arrival]:
        """Simulated answers are zeros, as is what follows a mark in a prompt: one mark serves all turns."""
        turn = first._replace(prefix=Prefix(array("Q", [number]), self.context_tokens))
        yield turn
        for _ in range(1, self.turns):
            new_tokens, output_tokens = self.said.draw(saying.random)
            prompt_tokens, most = turn.tokens + new_tokens, self.said.max_tokens
            at_s = turn.at_s + self.think_s * poisson(thinking)
            if prompt_tokens + most > self.context_tokens:
                return
            turn = Arrival(at_s, turn.service_class, prompt_tokens, output_tokens, most, turn.prefix)
            yield turn
