"""What the local executor adds to the contract of all executors: its thread, its death, its end."""

import threading
from array import array

import pytest
import torch

from headway.core.ports import ExecutorDied
from headway.core.types import Batch, Joined, Sampling, Slice
from headway.executors.local import LocalExecutor
from headway.executors.runner import Runner
from tests.executors.hashing_model import DEADLY, HashingModel, make_cache

PATIENCE_S = 20.0


def prompt(id: int, *tokens: int) -> Batch:
    """A batch in which a sequence of these tokens joins and is computed."""
    joined = Joined(id, array("i", tokens), len(tokens), 0, Sampling(temperature=0.0), ((id,),))
    return Batch(id, (), (joined,), (), (Slice(id, 0, len(tokens), samples=True),))


class Watched:
    """A local executor, and a count of what it has told of."""

    def __init__(self, model: HashingModel, threads: int | None = None) -> None:
        self.done = threading.Semaphore(0)
        self.executor = LocalExecutor(
            Runner(model, make_cache()), self.done.release, depth=4, threads=threads
        )

    def wait(self, times: int = 1) -> None:
        for _ in range(times):
            assert self.done.acquire(timeout=PATIENCE_S), "the executor told of nothing"


class ThreadCountingModel(HashingModel):
    def forward(self, inputs, kv):
        self.threads = torch.get_num_threads()
        return super().forward(inputs, kv)


class GatedModel(HashingModel):
    def __init__(self) -> None:
        super().__init__()
        self.entered, self.gate = threading.Semaphore(0), threading.Semaphore(0)

    def forward(self, inputs, kv):
        self.entered.release()
        self.gate.acquire(timeout=PATIENCE_S)
        return super().forward(inputs, kv)


def test_it_tells_of_every_step_once() -> None:
    watched = Watched(HashingModel())
    for id in range(3):
        watched.executor.submit(prompt(id, 4, 5))
    watched.wait(3)
    assert [watched.executor.collect().batch_id for _ in range(3)] == [0, 1, 2]
    watched.executor.close()
    assert not watched.done.acquire(blocking=False)


def test_a_step_that_raises_is_its_death_told_after_the_results_from_before_it() -> None:
    watched = Watched(HashingModel())
    watched.executor.submit(prompt(0, 4, 5))
    watched.executor.submit(prompt(1, 4, DEADLY))
    watched.executor.submit(prompt(2, 4, 5))
    watched.wait(2)
    assert watched.executor.collect().batch_id == 0
    for _ in range(2):
        with pytest.raises(ExecutorDied, match=r"MemoryError.*out of memory") as died:
            watched.executor.collect()
    assert isinstance(died.value.__cause__, MemoryError)


def test_what_is_submitted_after_its_death_is_dropped_and_it_can_still_be_closed() -> None:
    watched = Watched(HashingModel())
    watched.executor.submit(prompt(0, DEADLY))
    watched.wait()
    watched.executor.submit(prompt(1, 4))
    watched.executor.close()
    with pytest.raises(ExecutorDied):
        watched.executor.collect()


def test_closing_finishes_the_step_that_runs_and_drops_the_ones_behind_it() -> None:
    model = GatedModel()
    watched = Watched(model)
    watched.executor.submit(prompt(0, 4, 5))
    watched.executor.submit(prompt(1, 4, 5))
    assert model.entered.acquire(timeout=PATIENCE_S)
    closing = threading.Thread(target=watched.executor.close)
    closing.start()
    model.gate.release(2)
    closing.join(PATIENCE_S)
    assert not closing.is_alive()
    assert watched.executor.collect().batch_id == 0
    assert watched.executor.collect() is None
    watched.executor.close()


def test_the_number_of_torch_threads_is_set_where_the_steps_run() -> None:
    model = ThreadCountingModel()
    watched = Watched(model, threads=3)
    watched.executor.submit(prompt(0, 4, 5))
    watched.wait()
    watched.executor.close()
    assert model.threads == 3
