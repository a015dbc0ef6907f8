"""Which runs of a comparison count. No server runs."""

import pytest

from headway.bench.load import Played
from headway.cli.sim_compare import _Real, _Run, most_tries

quiet, disturbed = {"others": 0.0, "stolen": 0.01}, {"others": 0.4, "stolen": 0.0}


def ask(monkeypatch: pytest.MonkeyPatch, *cores: dict[str, float]) -> tuple[_Real, list[Played]]:
    """A run each of which others had these cores, until one counts."""
    coming, made = iter(cores), []

    def run(self: _Real, rate: float) -> _Run:
        made.append(Played([], 0.0, 0.1, 100.0))
        return _Run(rate, made[-1], next(coming))

    monkeypatch.setattr(_Real, "_run", run)
    real = _Real(None, None, 1)  # type: ignore[arg-type]
    real(2.0, 0)
    return real, made


def test_a_run_that_was_left_alone_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    real, made = ask(monkeypatch, quiet)
    assert len(made) == 1
    assert [run.counts for run in real.runs] == [True]


def test_a_disturbed_run_is_made_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real, made = ask(monkeypatch, disturbed, quiet)
    assert [run.played for run in real.runs] == [made[1]]
    assert real.runs[0].counts
    assert "does not count, it is run again: others had 0.40 cores" in capsys.readouterr().err


def test_what_is_always_disturbed_stands_and_does_not_count(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real, made = ask(monkeypatch, *[disturbed] * (most_tries + 5))
    assert len(made) == most_tries
    assert [(run.played is made[-1], run.counts) for run in real.runs] == [(True, False)]
    assert "does not count, it stands" in capsys.readouterr().err
