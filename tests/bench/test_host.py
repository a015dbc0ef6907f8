"""The host's share, from frames; what others had of the cores, from /proc."""

import time
from array import array
from collections.abc import Sequence
from pathlib import Path

import pytest

from headway.bench.fit import fit_line
from headway.bench.host import batch_sizes, host_gaps
from headway.bench.others import others_s
from headway.core.types import Stepped


def frame(at_s: float, step_s: float, tokens: int, prompt_tokens: int, sequences: int) -> Stepped:
    return Stepped(at_s, step_s, tokens, prompt_tokens, sequences, *(0,) * 13)


def serve(prompts: Sequence["array[int]"], output_tokens: int) -> list[Stepped]:
    """A prompt step, then decodes; the host needs 1 ms and 0.1 ms for each sequence, once far more."""
    size = len(prompts)
    frames = [frame(0.5, 0.5, 16 * size, 16 * size, size)]
    for step in range(output_tokens):
        host_s = (0.5 if step == 3 else 1e-3) + 1e-4 * size
        frames.append(frame(frames[-1].at_s + host_s + 0.02, 0.02, size, 0, size))
    return frames


def test_what_is_not_step_is_host_and_prompts_are_left_out() -> None:
    gaps = host_gaps(serve, vocab=50)
    assert [size for size, _ in gaps] == list(batch_sizes)
    assert fit_line(gaps) == pytest.approx((1e-3, 1e-4), rel=1e-6)


def test_others_have_what_is_neither_idle_nor_ours(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text("cpu  1000 200 300 9999 50 10 20 70 0 0\ncpu0 1 2 3 4 5 6 7 8\n")
    known = others_s(tmp_path)
    assert known is not None
    assert known == pytest.approx(16.0 - time.process_time(), abs=0.5)
    assert others_s(tmp_path / "absent") is None
