"""The simulator's figures on pinned runs are those that were pinned, exactly; and nothing else is pinned."""

import json

import pytest
from simulated_pins import PINS, RUNS, run

pinned = json.loads(PINS.read_text())


def test_what_is_pinned_is_what_is_run() -> None:
    assert list(pinned) == list(RUNS)


@pytest.mark.parametrize("name", RUNS)
def test_figures_are_as_pinned(name: str) -> None:
    words = "python benchmarks/simulated_pins.py --write pins what comes out now"
    assert json.loads(json.dumps(run(RUNS[name]))) == pinned[name], words
