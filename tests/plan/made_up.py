"""What the tests of plans share: a question whose runs take tenths of a second, and one candidate."""

from dataclasses import replace
from functools import partial

from headway.bench.lengths import read_lengths
from headway.bench.workload import Load, Part, Workload
from headway.classes import read_classes
from headway.plan.candidates import Rule, Ways, candidates
from headway.plan.plan import Plan, plan
from headway.plan.question import Candidate, Question
from headway.sim.devices import Device, device
from headway.sim.fits import HEADWAY
from headway.sim.models import Dimensions, model
from headway.sim.precision import Precision

MISTRAL = model("Mistral-7B")
A100 = device("A100-80")
ways = Ways(
    (1,), (1,), (Precision.BITS16,), (Precision.BITS16,), (Rule("stall-free", 512),), 8, HEADWAY, 0.9, 64,
    16_384,
)  # fmt: skip


def load_of(lengths: str) -> Load:
    return Workload((Part("chat", 1.0, read_lengths(lengths)),))


def question(
    promise: str = "ttft=1s,itl=100ms",
    lengths: str = "500:20",
    rate: float | None = None,
    seeds: tuple[int, ...] = (1,),
) -> Question:
    return Question(partial(load_of, lengths), read_classes(f"chat:{promise}"), seeds, rate)


def candidate(of: Device = A100, tp: int = 1, pp: int = 1, dimensions: Dimensions = MISTRAL) -> Candidate:
    (only,) = candidates(dimensions, [of], replace_ways(tp=(tp,), pp=(pp,)))
    assert isinstance(only, Candidate)
    return only


def replace_ways(**changes: object) -> Ways:
    return replace(ways, **changes)  # type: ignore[arg-type]


def planned(
    asked: Question, *devices: Device, processes: int = 1, of: Dimensions = MISTRAL, **changes: object
) -> Plan:
    return plan(asked, candidates(of, devices, replace_ways(**changes)), processes)
