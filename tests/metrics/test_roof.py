"""Shares of the machine that steps take, on a machine whose figures are round."""

import pytest

from headway.core.types import Stepped
from headway.metrics.export import Outlook, Pool, exposition
from headway.metrics.ledger import Ledger
from headway.metrics.roof import Roof, Used, used

ROOF = Roof(100.0, 1.0, token_flop=50.0, row_flop=100.0, peak_bytes_s=1_000.0, peak_flop_s=10_000.0)


def step(seconds: float, tokens: int, blocks: int = 0, unused: int = 0) -> Stepped:
    numbers = {**dict.fromkeys(Stepped._fields, 0), "step_s": seconds, "tokens": tokens}
    numbers |= {"blocks_used": blocks, "slots_unused": unused}
    return Stepped(**{**numbers, "infeasible": ()})  # type: ignore[arg-type]


def test_a_step_reads_the_weights_and_what_is_held_and_multiplies_for_each_token() -> None:
    one = step(0.2, 4, blocks=7, unused=12)._replace(sequences=2)
    assert used(ROOF, [one], block_size=16) == pytest.approx((1.0, 0.2))


def test_several_steps_count_by_the_time_they_took() -> None:
    found = used(ROOF, [step(0.2, 4), step(0.8, 196)], block_size=16)
    assert found == pytest.approx((0.2, 1.0))
    assert found is not None
    assert found.bound_by == "compute"
    assert (Used(0.5, 0.1).bound_by, Used(0.1, 0.2).bound_by) == ("memory", "neither")


def test_without_a_step_or_without_peaks_nothing_is_claimed() -> None:
    assert used(ROOF, [], 16) is None
    ledger = Ledger()
    ledger.add([step(0.2, 4)])
    unmeasured = exposition(ledger, "m", lambda: Outlook(0.0, "ready", Pool(16, 10)))()
    assert b"headway:mbu" not in unmeasured
    measured = exposition(ledger, "m", lambda: Outlook(0.0, "ready", Pool(16, 10), ROOF))().decode()
    assert "headway:mbu 0.5" in measured
    assert 'headway:bound_by{limit="memory"} 1.0' in measured
    idle = exposition(ledger, "m", lambda: Outlook(60.0, "ready", Pool(16, 10), ROOF))()
    assert b"headway:mbu" not in idle
