"""The world of the measurements on a CPU: what is promised, what is asked, which configurations are tried.

Lengths and targets are those of the simulated comparison (src/headway/bench/lengths.py), scaled to what two
cores carry: a bare decode step of SmolLM2-135M takes 25 to 30 ms there, one of 16 sequences 40 to 60 ms, and
a prompt token 1 ms.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from random import Random
from typing import Any, NamedTuple

from headway.bench.arrivals import poisson
from headway.bench.lengths import LENGTHS, Quantiles
from headway.bench.load import Played
from headway.bench.report import ClassReport, Percentiles, Report, Seconds, percentile, report
from headway.bench.wire import Asked
from headway.classes import read_classes
from headway.core.slo import ServiceClass

MODEL = "smollm2"
PROMISES = ("chat:ttft=2s,itl=200ms", "interactive:ttft=none,deadline=6s")
first_id, last_id = 256, 49_151  # of its ids, those that are plain text


class Lengths(NamedTuple):
    share: float  # of all requests
    prompt: Quantiles
    output: Quantiles


def _part(share: float, name: str) -> Lengths:
    return Lengths(share, LENGTHS[name].prompt, LENGTHS[name].output)


MIX: Mapping[str, Lengths] = {
    "chat": _part(0.60, "small-chat"),
    "interactive": _part(0.25, "small-task"),
    "batch": _part(0.15, "small-document"),
}


def classes(promises: Sequence[str] = PROMISES) -> Mapping[str, ServiceClass]:
    return read_classes(";".join(promises))


def prompt(seed: str, tokens: int) -> list[int]:
    return Random(f"{seed}/prompt").choices(range(first_id, last_id + 1), k=tokens)


def mixed(rate: float, seed: int, window_s: float, mix: Mapping[str, Lengths] = MIX) -> list[Asked]:
    """Poisson arrivals, given their number. A trial is short, so every seed brings the same work: as many
    requests as the rate says, the classes by their shares, each class's lengths spread evenly over its
    quantiles. The seed draws the times, the order, and which prompt gets which answer.
    """
    count = round(rate * window_s)
    deck = [name for name, number in _dealt(count, mix).items() for _ in range(number)]
    Random(f"{seed}/classes").shuffle(deck)
    lengths = {name: _lengths(part, deck.count(name), f"{seed}/{name}") for name, part in mix.items()}
    gaps = Random(f"{seed}/gaps")
    times_s = list(accumulate(poisson(gaps) for _ in range(count + 1)))
    schedule = []
    for number, (at_s, name) in enumerate(zip(times_s, deck, strict=False)):
        prompt_tokens, output_tokens = lengths[name].pop()
        ids = prompt(f"{seed}/{number}", prompt_tokens)
        schedule.append(Asked(at_s * window_s / times_s[-1], name, ids, output_tokens))
    return schedule


def _dealt(count: int, mix: Mapping[str, Lengths]) -> dict[str, int]:
    """So many requests by class; the first one gets what rounding leaves over."""
    dealt = {name: round(count * part.share) for name, part in mix.items()}
    dealt[next(iter(mix))] += count - sum(dealt.values())
    return dealt


def _lengths(part: Lengths, count: int, seed: str) -> list[tuple[int, int]]:
    shares = [(i + 0.5) / count for i in range(count)]
    prompts, outputs = ([drawn.at(share) for share in shares] for drawn in (part.prompt, part.output))
    Random(f"{seed}/prompts").shuffle(prompts)
    Random(f"{seed}/outputs").shuffle(outputs)
    return list(zip(prompts, outputs, strict=True))


class Configuration(NamedTuple):
    policy: str
    budget: int  # tokens of a step, at most
    max_seqs: int

    def flags(self, promises: Sequence[str] = PROMISES) -> list[str]:
        """The prefix index is off: no two prompts begin alike. The queue takes whatever comes."""
        figures = {"--max-num-batched-tokens": self.budget, "--max-num-seqs": self.max_seqs}
        settings = [part for flag, value in figures.items() for part in (flag, str(value))]
        promised = [part for text in promises for part in ("--class", text)]
        settings += ["--max-queue", "100000", "--no-prefix-caching"]
        return ["--policy", self.policy, *settings, *promised]

    def __str__(self) -> str:
        return f"{self.policy} {self.budget}/{self.max_seqs}"


def warm_up() -> list[Asked]:
    """Of every length, so that no first time falls into the measurement; a forecast learns from it."""
    sizes = ((16, 24), (400, 12), (100, 40), (900, 8), (60, 30), (200, 20))
    return [Asked(0.2 * i, "batch", prompt(f"warm-up/{i}", p), o) for i, (p, o) in enumerate(sizes)]


@dataclass(frozen=True, slots=True)
class Measured:
    """A trial, by the words of docs/definitions.md, with what the client thinks of itself."""

    report: Report
    played: Played

    def as_json(self) -> dict[str, Any]:
        r, p = self.report, self.played
        return {
            "goodput": round(r.goodput, 4),
            "goodput_tok_s": round(r.goodput_tok_s, 2),
            "attainment": round(r.attainment, 4),
            "completion": round(r.completion, 4),
            "classes": {name: _class_json(line) for name, line in r.classes.items()},
            "client": client_json(p),
        }


def judged(played: Played, window_s: float, promised: Mapping[str, ServiceClass]) -> Measured:
    """All requests of the run; they arrived within the window."""
    return Measured(report(played.answers, promised, window_s), played)


def client_json(played: Played) -> dict[str, Any]:
    return {
        "valid": played.valid,
        "lag_p99_s": round(played.lag_p99_s, 4),
        "cpu_share": round(played.cpu_share, 3),
        "us_per_token": round(played.us_per_token, 1),
    }


def _class_json(line: ClassReport) -> dict[str, Any]:
    return {
        "requests": line.requests,
        "incomplete": line.incomplete,
        "met": line.met,
        "attainment": round(line.attainment, 4),
        "completion": round(line.completion, 4),
        **{name: percentiles_json(getattr(line, name)) for name in ("ttft", "itl", "e2e")},
    }


def quantiles(values: Seconds) -> Percentiles | None:
    """None: there are no values."""
    if not len(values):
        return None
    return Percentiles(
        percentile(values, 50),
        percentile(values, 95),
        percentile(values, 99),
        len(values),
        float(values.mean()),
    )


def percentiles_json(values: Percentiles | None) -> dict[str, float] | None:
    return None if values is None else {name: round(value, 4) for name, value in asdict(values).items()}
