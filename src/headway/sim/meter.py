"""A cost that keeps books on what it was asked: where the seconds of a run went, and how much of the devices
they used, for prefill and decode apart.

A step with a chunk of a prompt in it counts as prefill, whatever decodes it carries; all others as decode.
"""

from dataclasses import dataclass

from headway.core.types import Batch
from headway.sim.attention import Count
from headway.sim.cost import Components
from headway.sim.deployment import Deployment
from headway.sim.utilisation import Traffic, Utilisation, traffic, traffic_of_decodes, utilisation


@dataclass(frozen=True, slots=True)
class Usage:
    """Of one kind of step."""

    steps: int
    seconds: float
    components: Components  # seconds; in a pipeline the mean of the stages
    utilisation: Utilisation | None  # None: there was no such step


class Meter:
    """The cost of a deployment: a `Cost`, with the same seconds."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._cost = deployment.cost()
        self._books = {"prefill": _Book(), "decode": _Book()}

    def __call__(self, batch: Batch) -> float:
        slices, cost = batch.slices, self._cost
        model, weights, kv = self._deployment.model, self._deployment.weights, self._deployment.kv
        count = cost.count(slices)
        seconds = cost.seconds(count, len(slices))
        if _only_decodes(count, len(slices)) and not model.windowed_layers:
            asked = traffic_of_decodes(model, weights, kv, slices)
        else:
            asked = traffic(model, weights, kv, slices)
        kind = "decode" if count.tokens == len(slices) else "prefill"
        self._books[kind].add(seconds, cost.parts(count, len(slices)), asked)
        return seconds

    def usage(self) -> dict[str, Usage]:
        """By kind, prefill and decode."""
        return {kind: self._usage(book) for kind, book in self._books.items()}

    def _usage(self, book: "_Book") -> Usage:
        of, asked, found = self._deployment, Traffic(book.bytes, book.operations), None
        if book.steps:  # a pipeline's stages work at the same time
            found = utilisation(asked, of.device, of.gpus, of.weights, book.seconds)
        return Usage(book.steps, book.seconds, Components(*book.components), found)


def _only_decodes(count: Count, sequences: int) -> bool:
    return count.tokens == count.rows == sequences


class _Book:
    def __init__(self) -> None:
        self.steps = 0
        self.seconds = self.bytes = self.operations = 0.0
        self.components = [0.0] * len(Components._fields)

    def add(self, seconds: float, components: Components, asked: Traffic) -> None:
        self.steps += 1
        self.seconds += seconds
        self.bytes += asked.bytes
        self.operations += asked.operations
        self.components = [sum(pair) for pair in zip(self.components, components, strict=True)]
