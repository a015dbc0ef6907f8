"""A sweep: which loads, when it ends, what it says. Runs are made up."""

from collections.abc import Sequence
from typing import Any

import pytest

from headway.bench.fields import BadWorkload
from headway.bench.sweep import (
    Figures,
    Loads,
    as_json,
    at_a_time,
    first_limit,
    read_rates,
    read_sizes,
    sweep,
    table,
    words,
)
from headway.bench.sweep_page import sweep_page
from headway.bench.wire import BadTarget


def figures(load: float, rate_at: float = 16.0, **more: Any) -> Figures:
    """Served at once up to `rate_at` requests, beyond that in turns."""
    crowd = max(1.0, load / rate_at)
    values = {"ttft_s": 0.1 * crowd**2, "tpot_s": 0.01 * crowd, "itl_s": 0.01 * crowd, "e2e_s": crowd}
    ranks = {name: {"p50": s, "p95": s, "p99": s} for name, s in values.items()}
    return {"output_tok_s": 100 * load / crowd + load / 10, "failed": 0, "errors": {}, **ranks, **more}


def measure(load: float, repeat: int) -> Figures:
    return figures(load)


@pytest.mark.parametrize(
    ("text", "loads"), [("1,4,16", [1, 4, 16]), ("8", [8]), ("x4", [1, 4, 16, 64, 256, 1024, 4096])]
)
def test_sizes_are_listed_or_grow(text: str, loads: Sequence[float]) -> None:
    assert list(read_sizes(text)) == loads


@pytest.mark.parametrize("text", ["", "0", "4,1", "1,1", "1.5", "x1", "x", "a", "1,,2", "5000", "nan"])
def test_what_is_no_list_of_sizes_is_refused(text: str) -> None:
    with pytest.raises(BadWorkload, match="--batch-sizes"):
        read_sizes(text)


def test_rates_may_be_fractions() -> None:
    assert list(read_rates("0.5,1.25")) == [0.5, 1.25]


def test_a_growing_sweep_ends_with_the_first_load_that_crosses_the_target() -> None:
    swept = sweep(read_sizes("x2"), 1, measure, 0.3)
    assert list(swept.runs) == [1, 2, 4, 8, 16, 32]


def test_a_listed_one_goes_on() -> None:
    assert list(sweep(read_sizes("1,16,32,64"), 2, measure, 0.3).runs) == [1, 16, 32, 64]


def test_it_says_where_the_knee_is_and_what_binds() -> None:
    said = "\n".join(words(sweep(read_sizes("1,2,4,8,16,32,64"), 2, measure, 0.3), at_a_time))
    assert "knee by kneedle: 16 at a time, 95 % of the repeats drawn anew 16 to 16" in said
    assert "knee by throughput over latency: 16 at a time" in said
    assert "first limit: at 32 at a time p95 TTFT crossed its target" in said
    assert "bound by compute above 16 at a time" in said


def test_memory_that_ran_out_is_a_limit_and_a_cause() -> None:
    spiky = {"itl_s": {"p50": 0.01, "p95": 0.05, "p99": 0.05}}
    swept = sweep(
        Loads((8.0, 16.0)), 1, lambda load, _: figures(load, preemptions=int(load == 16), **spiky), 0.3
    )
    assert first_limit(swept) == (16.0, "memory")
    said = list(words(swept, at_a_time))
    assert (
        "at 8 at a time p95 between tokens is 5.0 times the median, without any pre-emption: others' prompts"
        in said
    )
    assert "at 16 at a time p95 between tokens is 5.0 times the median, beside pre-emptions" in said


def test_a_load_at_which_nobody_was_answered_ends_it_and_what_came_before_is_kept() -> None:
    def breaking(load: float, repeat: int) -> Figures:
        broken = {"ttft_s": None, "e2e_s": None, "errors": {"503: draining": 4}}
        return figures(load, **(broken if load == 4 else {}))

    swept = sweep(read_sizes("1,2,4,8"), 1, breaking, 0.3)
    assert list(swept.runs) == [1, 2]
    assert (
        list(words(swept, at_a_time))[-1] == "it ended there: at 4 nobody was answered: {'503: draining': 4}"
    )
    with pytest.raises(BadWorkload, match="at 4 nobody was answered"):
        sweep(read_sizes("4,8"), 1, breaking, 0.3)


def test_table_json_and_page_have_every_load() -> None:
    swept = sweep(read_sizes("1,16,64"), 1, measure, 0.3)
    assert [row[0] for row in table(swept, at_a_time)] == [at_a_time, "1", "16", "64"]
    assert [row[-1] for row in table(swept, at_a_time)][1:] == ["II", "IV", "III"]
    found = as_json(swept, at_a_time)
    assert [point["batch_size"] for point in found["points"]] == [1, 16, 64]
    assert set(found["knee"]) == {"kneedle", "throughput_over_latency"}
    page = sweep_page("A sweep", "of nothing", swept, at_a_time, found["says"])
    assert all(word in page for word in ("quadrants at the target", "best throughput", "bound by compute"))


def test_a_server_that_dies_on_the_way_leaves_what_came_before() -> None:
    def measure(load: float, repeat: int) -> Figures:
        if load > 2:
            raise BadTarget("nobody listens")
        return figures(load)

    swept = sweep(read_sizes("1,2,4"), 1, measure, 1.0)
    assert list(swept.runs) == [1, 2]
    assert list(words(swept, at_a_time))[-1] == "it ended there: nobody listens"
    with pytest.raises(BadTarget):
        sweep(read_sizes("4"), 1, measure, 1.0)


def test_one_load_has_no_knee() -> None:
    swept = sweep(read_sizes("4"), 1, lambda load, repeat: figures(load), 1.0)
    assert [found.load for found in swept.knees.values()] == [None, None]
