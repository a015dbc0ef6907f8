"""What the pinned workloads are, measured on what they draw."""

from array import array
from collections import Counter
from hashlib import sha256
from itertools import pairwise
from random import Random
from statistics import mean, median, quantiles, stdev
from timeit import timeit

import pytest

from headway.bench.arrivals import gamma, phases
from headway.bench.fields import BadWorkload
from headway.bench.lengths import LENGTHS
from headway.bench.workload import (
    CLASSES,
    WORKLOADS,
    Arrival,
    Part,
    Prefix,
    Shared,
    Workload,
    prompt_ids,
    read_mix,
    request,
    stop_id,
)


def drawn(name: str, rate: float = 10.0, seed: int = 3, until_s: float = 2000.0) -> list[Arrival]:
    return list(WORKLOADS[name].arrivals(rate, seed, until_s))


def test_chat_has_sharegpt_s_lengths() -> None:
    arrivals = drawn("chat")
    prompts, outputs = [a.prompt_tokens for a in arrivals], [a.output_tokens for a in arrivals]
    assert median(prompts) == pytest.approx(1730, rel=0.03)
    assert quantiles(prompts, n=10)[8] == pytest.approx(5696, rel=0.03)
    assert mean(prompts) == pytest.approx(2340, rel=0.03)
    assert median(outputs) == pytest.approx(415, rel=0.03)
    assert quantiles(outputs, n=10)[8] == pytest.approx(834, rel=0.03)
    assert mean(outputs) == pytest.approx(439, rel=0.03)
    assert min(prompts) >= 1
    assert max(outputs) <= 1024


@pytest.mark.parametrize(("name", "cv"), [("chat", 1.0), ("mixed", 1.0), ("bursty", 4.0)])
def test_gaps_have_the_rate_and_the_coefficient_of_variation(name: str, cv: float) -> None:
    arrivals = drawn(name, until_s=10_000.0)
    gaps = [b.at_s - a.at_s for a, b in pairwise(arrivals)]
    assert mean(gaps) == pytest.approx(0.1, rel=0.05)
    assert stdev(gaps) / mean(gaps) == pytest.approx(cv, rel=0.1)


def test_the_two_kinds_of_bursts_have_the_same_variation_and_differ_in_their_median() -> None:
    random = Random(1)
    for kind, middle in ((phases(4.0), 0.37), (gamma(4.0), 0.00015)):
        gaps = [kind(random) for _ in range(200_000)]
        assert mean(gaps) == pytest.approx(1.0, rel=0.05)
        assert stdev(gaps) / mean(gaps) == pytest.approx(4.0, rel=0.05)
        assert median(gaps) == pytest.approx(middle, rel=0.2)


def test_the_mix_has_its_shares_and_each_class_its_lengths() -> None:
    arrivals = drawn("mixed")
    counts = Counter(a.service_class for a in arrivals)
    for name, share in (("chat", 0.60), ("interactive", 0.25), ("batch", 0.15)):
        assert counts[name] / len(arrivals) == pytest.approx(share, abs=0.01)
    for name, prompt, output in (("interactive", (300, 500), (20, 80)), ("batch", (1000, 3000), (200, 400))):
        group = [a for a in arrivals if a.service_class == name]
        assert prompt[0] <= min(a.prompt_tokens for a in group) <= 1.1 * prompt[0]
        assert 0.95 * prompt[1] <= max(a.prompt_tokens for a in group) <= prompt[1]
        assert (min(a.output_tokens for a in group), max(a.output_tokens for a in group)) == output


def test_two_rates_differ_in_their_pace_alone() -> None:
    slow, fast = drawn("bursty", 1.0, until_s=400.0), drawn("bursty", 2.0, until_s=200.0)
    assert [a._replace(at_s=a.at_s / 2) for a in slow] == fast
    assert slow != drawn("bursty", 1.0, seed=4, until_s=400.0)


def test_every_class_of_a_workload_is_known_and_its_answers_end_before_what_was_asked_for() -> None:
    for workload in WORKLOADS.values():
        assert sum(part.share for part in workload.parts) == pytest.approx(1.0)
        assert {part.service_class for part in workload.parts} <= set(CLASSES)
    for lengths in LENGTHS.values():
        assert lengths.output.knots[-1][1] <= lengths.max_tokens


def test_a_request_says_no_more_than_a_client_would() -> None:
    arrivals = drawn("mixed", until_s=5.0)
    requests = [request(id, arrival) for id, arrival in enumerate(arrivals)]
    assert requests[0].sampling.max_tokens == arrivals[0].max_tokens > arrivals[0].output_tokens
    assert [len(r.prompt) for r in requests] == [a.prompt_tokens for a in arrivals]
    assert all(0 <= token < stop_id for token in requests[0].prompt)
    beginnings = {r.prompt[:16].tobytes() for r in requests}
    assert len(beginnings) == len(requests), "no two prompts begin alike"


# As they were drawn when docs/policies-simulated.md was made: rounded, so that a last bit of a logarithm
# decides nothing.
PINNED = {
    "chat": (5005, "d2f28154389b892a"),
    "mixed": (5005, "50b85a496a96649d"),
    "bursty": (5033, "588b1a09f3d405bb"),
    "bursty-mixed": (5033, "3e55b6fb679177f5"),
}


@pytest.mark.parametrize("name", WORKLOADS)
def test_the_pinned_workloads_draw_what_they_always_drew(name: str) -> None:
    arrivals = drawn(name, until_s=500.0)
    text = repr([(round(a.at_s, 6), *a[1:5]) for a in arrivals])
    assert (len(arrivals), sha256(text.encode()).hexdigest()[:16]) == PINNED[name]


def begins_alike(a: Arrival, b: Arrival, ids: tuple[int, int] = (1, 2)) -> int:
    """Tokens that two prompts have in common at their beginning."""
    first, second = prompt_ids(ids[0], a), prompt_ids(ids[1], b)
    return next((i for i, (x, y) in enumerate(zip(first, second, strict=False)) if x != y), len(first))


def test_prompts_with_equal_hashes_begin_alike_for_so_many_blocks() -> None:
    def asks(tokens: int, *hashes: int) -> Arrival:
        return Arrival(0.0, "chat", tokens, 5, 5, Prefix(array("Q", hashes), 512))

    most = (1 << 64) - 1
    assert begins_alike(asks(2000, 7, 8, 9), asks(2000, 7, 8, most)) in range(1024, 1033)
    assert begins_alike(asks(2000, 7, 8, 9), asks(1700, 7, 8, 9)) in range(1536, 1545)
    assert begins_alike(asks(1100, 7, 8, 9), asks(1100, 7, 8, 9)) == 1100, (
        "the last block is cut by the prompt"
    )
    assert begins_alike(asks(2000, 7), asks(2000, 7, 8)) in range(512, 521)
    assert begins_alike(asks(2000, 1), Arrival(0.0, "chat", 2000, 5, 5)) < 16, "no number is taken for a hash"


def test_a_shared_prefix_is_shared_by_its_share_of_the_requests() -> None:
    shared = Shared(0.5, tokens=200, texts=2)
    arrivals = list(
        Workload((Part("chat", 1.0, "short"),), requests=2000, shared=shared).arrivals(1.0, 1, 1e9)
    )
    beginnings = Counter(prompt_ids(id, a)[:200].tobytes() for id, a in enumerate(arrivals))
    (_, first), (_, second), (_, third) = beginnings.most_common(3)
    assert first + second == pytest.approx(1000, rel=0.1)
    assert first == pytest.approx(500, rel=0.15)
    assert third == 1
    plain = list(Workload((Part("chat", 1.0, "short"),), requests=2000).arrivals(1.0, 1, 1e9))
    assert [a._replace(prefix=None) for a in arrivals] == plain, "sharing draws on nothing else"


def test_prompts_cost_microseconds() -> None:
    arrivals = list(Workload((Part("chat", 1.0, "sharegpt"),), requests=2048).arrivals(1.0, 1, 1e9))
    assert sum(a.prompt_tokens for a in arrivals) > 4_000_000
    best_s = min(
        timeit(lambda: [request(id, a) for id, a in enumerate(arrivals)], number=1) for _ in range(3)
    )
    assert best_s < 0.3


@pytest.mark.parametrize(
    "text", ["", "chat", "chat=0.5", "chat=1.0,chat=0.0", "gold=1", "chat=2,batch=-1", "chat=nan,batch=1"]
)
def test_mixes_that_are_none_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(BadWorkload) as refused:
        read_mix(text, CLASSES)
    assert "\n" not in str(refused.value)


def test_a_mix_is_read() -> None:
    assert read_mix("chat=0.8,batch=0.2", CLASSES) == {"chat": 0.8, "batch": 0.2}
