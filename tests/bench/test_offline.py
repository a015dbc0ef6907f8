"""The rates of `bench offline`: arithmetic on an engine's frames."""

from array import array
from collections.abc import Sequence

from headway.bench.offline import Rates, Run, Workload, measure, rates
from headway.core.types import Stepped


def frame(at_s: float, tokens: int, prompt_tokens: int) -> Stepped:
    return Stepped(at_s, 0.0, tokens, prompt_tokens, *(0,) * 14)


def test_prompt_tokens_over_the_time_of_steps_with_prompts_and_output_tokens_over_that_of_the_others() -> (
    None
):
    run = Run(10.0, [frame(12.0, 100, 100), frame(14.0, 100, 100), frame(14.5, 2, 0), frame(15.0, 2, 0)])
    assert rates(run, 2) == Rates(batch_size=2, prefill_tok_s=50.0, decode_tok_s=4.0, tpot_ms=500.0)


def test_time_between_steps_counts() -> None:
    busy = Run(0.0, [frame(1.0, 8, 8), frame(2.0, 1, 0)])
    idle = Run(0.0, [frame(1.0, 8, 8), frame(4.0, 1, 0)])
    assert (rates(busy, 1).tpot_ms, rates(idle, 1).tpot_ms) == (1000.0, 3000.0)


class Recorder:
    """Runs nothing; each batch takes longer than the one before it."""

    def __init__(self) -> None:
        self.batches: list[tuple[list[list[int]], int]] = []

    def __call__(self, prompts: Sequence["array[int]"], output_tokens: int) -> Run:
        self.batches.append(([list(prompt) for prompt in prompts], output_tokens))
        took_s = float(len(self.batches))
        return Run(0.0, [frame(took_s, 8, 8), frame(2 * took_s, 1, 0)])


def test_the_warm_up_is_not_counted_and_the_median_run_is_given() -> None:
    engine, done = Recorder(), []
    workload = Workload(prompt_tokens=4, output_tokens=9, vocab=50, repeat=3)
    measured = measure(engine, workload, 2, lambda: done.append(1))
    assert [tokens for _, tokens in engine.batches] == [2, 9, 9, 9]
    assert measured.tpot_ms == 3000.0  # the runs took 2, 3 and 4 seconds a step
    assert len(done) == 4


def test_prompts_have_the_length_asked_for_and_are_the_same_at_each_measurement() -> None:
    first, second = Recorder(), Recorder()
    for engine in (first, second):
        measure(engine, Workload(prompt_tokens=4, output_tokens=9, vocab=50), 3, lambda: None)
    prompts = [prompt for batch, _ in first.batches for prompt in batch]
    assert [len(prompt) for prompt in prompts] == [4] * 6
    assert all(0 <= id < 50 for prompt in prompts for id in prompt)
    assert len({tuple(prompt) for prompt in prompts}) == 6
    assert first.batches == second.batches
