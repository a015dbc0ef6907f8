"""The page of the measurements on a CPU, from made-up results of the shape that the scripts write."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from cpu_trials import Row
from policies_cpu import BEST_FIXED, FIXED, compare, compared, line_up, search, searched
from policies_cpu_page import page, picture

from tests.benchmarks.made_up import World

where = {"date": "2026-11-21T10:00:00+00:00", "cpu": "a CPU", "cores": 2, "commit": "abc"}


@pytest.fixture
def found(tmp_path: Path) -> Row:
    book, entrants = World(tmp_path).book(), line_up(["adaptive", BEST_FIXED, "static"], FIXED[3])
    search(book, 2.2, 40.0)
    compare(book, entrants, 2.0, 3, 40.0)
    return {
        "where": where,
        "fixed": FIXED[3]._asdict(),
        "searched": searched(book.rows),
        "fixed_given": False,
        "capacity": 2.0,
        "capacity_given": False,
        "not_valid": 1,
        "seconds": 40.0,
        "compared": compared(book.rows, entrants, 2.0, 40.0),
    }


def test_the_comparison_is_told_by_rate_and_policy_with_its_spread(found: Row) -> None:
    text = page({"policies-cpu": found})
    assert "commit abc" in text
    rows = re.findall(r"^\| (\S+x) \| (\S+) \| (.*?) \|", text, flags=re.MULTILINE)
    assert [row[:2] for row in rows[:3]] == [("0.7x", "adaptive"), ("0.7x", "best-fixed"), ("0.7x", "static")]
    assert len(rows) == 9
    assert all(" to " in goodput for _, policy, goodput in rows if policy != "static")
    assert "round by round: 1.00 (1.00 to 1.00) at 0.7x" in text
    assert searched_first(found) == FIXED[3]._asdict()


def test_what_was_given_is_not_told_as_found(found: Row) -> None:
    text = page({"policies-cpu": {**found, "fixed_given": True, "capacity_given": True}})
    assert "was given, which a search of an earlier hour had found" in text
    assert "none was searched for" in page({"policies-cpu": {**found, "fixed_given": True, "searched": []}})
    assert "a rate that was given" in text
    assert "a race of 10 ended with" in page({"policies-cpu": found})
    assert "do not count: 1." in text


def searched_first(found: Row) -> Row:
    return {name: found["searched"][0][name] for name in ("policy", "budget", "max_seqs")}


def test_the_picture_has_a_bar_for_each(found: Row) -> None:
    drawn = ElementTree.fromstring(picture(found["compared"]))
    bars = drawn.findall("{http://www.w3.org/2000/svg}rect")
    assert len(bars) == len(found["compared"])
    assert all(0 < float(bar.attrib["width"]) <= 420 for bar in bars)


def test_results_that_are_not_there_have_no_section(found: Row) -> None:
    assert "Long prompts" not in page({"policies-cpu": found})
    assert "## " not in page({})


def test_the_other_measurements_have_sections() -> None:
    itl = {"p50": 0.1, "p95": 0.14, "p99": 0.2, "count": 100}
    chats = {"itl": itl, "itl_max_s": 1.5, "within_target": 7, "of": 8}
    setting = {"policy": "adaptive", "budget": 2048, "max_seqs": 64}
    long = {"asked": 4, "begun": 3, "ttft": itl}
    trial = {**setting, "long_class": "batch", "valid": True, "chats": chats, "long": long}
    within = {"0.07": 0.6, "0.1": 0.8, "0.2": 0.96}
    phase = {"steps": 50, "median": 0.05, "p95": None, "within": within}
    waits = {"p50": 0.01, "p95": 0.02, "max": 0.06}
    overload = {"seed": 1, "asked": 70, "refused": 40, "refusals": 44, "refused_in_time": 43}
    overload |= {"refusal_s": waits, "came_again": 40, "let_in": 33}
    overload |= {"beyond_capacity": {"attainment": 0.9}, "afterwards": {"attainment": 0.99}}
    chat = {"chat": {"met": 39, "requests": 40}}
    background = {"factor": 0.3, "queue": True, "busy": 0.93, "classes": chat}
    defaults = {"asked": 7, "answered": 7, "refused": 0, "named": [], "named_of_a_hurried_class": ["itl"]}
    text = page(
        {
            "long-prompts-cpu": {**where, "trials": [trial]},
            "forecast-cpu": {**where, "rate": 0.8, "phases": {"steady": phase}},
            "overload-cpu": {
                name: {"where": where, "capacity": 1.4, "trials": [row]}
                for name, row in (("overload", overload), ("background", background), ("defaults", defaults))
            },
        }
    )
    assert "| adaptive 2048/64 | batch | 100 | 140 | 200 | 1,500 | 7 of 8 | 3 of 4 | 0.1 s |" in text
    assert "| steady | 50 | 5.0 % | over 50 % | 60.0 % | 80.0 % | 96.0 % |" in text
    assert "| 1 | 40 of 70 | 10, 20, 60 | 43 of 44 | 33 of 40 | 90.0 % | 99.0 % |" in text
    assert "| 0.3x | deep | 97.5 % | 0.93 |" in text
    assert "7 of\n7 answered, 0 refused" in text
