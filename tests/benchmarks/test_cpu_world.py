"""What the measurements on a CPU ask for is pinned by its seed, and is what it says."""

from collections import Counter
from itertools import pairwise
from statistics import mean, median, stdev

import pytest
from cpu_world import MIX, PROMISES, Configuration, classes, first_id, last_id, mixed
from long_prompts_cpu import chats, endless, schedule

from headway.bench.served import buckets, read_metrics
from headway.config import Settings


def test_the_same_seed_asks_for_the_same_and_another_seed_for_as_much() -> None:
    first, other = mixed(2.0, 5, 50.0), mixed(2.0, 6, 50.0)
    assert mixed(2.0, 5, 50.0) == first != other
    assert len(first) == len(other) == 100
    for drawn in (first, other):
        assert [a.at_s for a in drawn] == sorted(a.at_s for a in drawn)
        assert 0 < drawn[0].at_s < drawn[-1].at_s < 50.0
        assert Counter(a.service_class for a in drawn) == {"chat": 60, "interactive": 25, "batch": 15}
    for length in (lambda a: len(a.prompt), lambda a: a.output_tokens):
        assert sorted(map(length, first)) == sorted(map(length, other))
        assert list(map(length, first)) != list(map(length, other))


def test_two_rates_have_the_same_pattern() -> None:
    slow, fast = mixed(1.0, 5, 100.0), mixed(2.0, 5, 50.0)
    assert [a.at_s / 2 for a in slow] == pytest.approx([a.at_s for a in fast])
    assert [a.prompt for a in slow] == [a.prompt for a in fast]


def test_gaps_are_those_of_poisson_arrivals() -> None:
    gaps = [b.at_s - a.at_s for a, b in pairwise(mixed(10.0, 1, 300.0))]
    assert mean(gaps) == pytest.approx(0.1, rel=0.01)
    assert stdev(gaps) / mean(gaps) == pytest.approx(1.0, rel=0.08)


def test_the_lengths_are_what_the_page_says() -> None:
    drawn = mixed(10.0, 1, 100.0)
    chat = [a for a in drawn if a.service_class == "chat"]
    assert median(len(a.prompt) for a in chat) == pytest.approx(100, rel=0.05)
    assert max(len(a.prompt) for a in chat) > 1300
    assert mean(len(a.prompt) for a in drawn) == pytest.approx(205, rel=0.05)
    assert mean(a.output_tokens for a in drawn) == pytest.approx(37, rel=0.05)
    assert all(first_id <= token <= last_id for token in drawn[0].prompt)
    assert len({tuple(a.prompt[:8]) for a in drawn}) == len(drawn), "no two prompts begin alike"


def test_every_class_asked_for_is_one_that_is_promised() -> None:
    promised = classes(PROMISES)
    assert MIX.keys() <= promised.keys()
    assert promised["chat"].targets.itl_s == 0.2
    assert promised["interactive"].targets.deadline_s == 6.0
    assert not any(promised["batch"].targets)


def test_a_configuration_s_flags_are_the_server_s() -> None:
    flags = Configuration("stall-free", 512, 32).flags()
    assert flags[:6] == ["--policy", "stall-free", "--max-num-batched-tokens", "512", "--max-num-seqs", "32"]
    assert flags.count("--class") == len(PROMISES)
    Settings(policy="stall-free", max_num_batched_tokens=512, max_num_seqs=32, classes=";".join(PROMISES))


def test_long_prompts_come_beside_chats_that_do_not_end() -> None:
    asked = schedule("batch", 1, 30.0)
    assert asked == schedule("batch", 1, 30.0)
    assert [a.output_tokens for a in asked[:chats]] == [endless] * chats
    long = asked[chats:]
    assert [a.at_s for a in long] == [4.0, 9.0, 14.0, 19.0, 24.0, 29.0]
    assert all(2000 <= len(a.prompt) <= 4000 for a in long)


def test_metrics_are_read_by_name_and_labels() -> None:
    text = (
        "# HELP x Of x.\n# TYPE x histogram\n"
        'x_bucket{le="0.5"} 2.0\nx_bucket{le="1.0"} 3.0\nx_bucket{le="+Inf"} 4.0\nx_count 4.0\n'
        'headway:rejected_total{class="chat",reason="too_late"} 7.0\n'
    )
    metrics = read_metrics(text)
    assert buckets(metrics, "x") == [(0.5, 2.0), (1.0, 3.0), (float("inf"), 4.0)]
    assert metrics['headway:rejected_total{class="chat",reason="too_late"}'] == 7.0
