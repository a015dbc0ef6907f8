"""All experiments by their letters, and running them in processes: rows in the order they are listed in."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context

from headway.headlines import (
    a_sarathi,
    b_batches,
    c_paging,
    d_hardware,
    e_parallelism,
    f2_shapes,
    f_targets,
)
from headway.headlines.rows import Effort, Job, Row

EXPERIMENTS: Mapping[str, Callable[[Effort], list[Job]]] = {
    "A": a_sarathi.jobs,
    "B": b_batches.jobs,
    "C": c_paging.jobs,
    "D": d_hardware.jobs,
    "E": e_parallelism.jobs,
    "F": f_targets.jobs,
    "F2": f2_shapes.jobs,
}

Told = Callable[[Sequence[str], int, int], None]  # what runs now, how many jobs are done, of how many


def run(letters: Sequence[str], effort: Effort, processes: int, told: Told) -> list[Row]:
    """The longest begin first, so that the processes end at about the same time."""
    jobs = [job for letter in letters for job in EXPERIMENTS[letter](effort)]
    waiting = sorted(range(len(jobs)), key=lambda i: jobs[i].work)
    found: dict[int, list[Row]] = {}
    running: dict[Future[list[Row]], int] = {}
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        while waiting or running:
            while waiting and len(running) < processes:
                i = waiting.pop()
                running[pool.submit(jobs[i].run)] = i
            told([jobs[i].label for i in running.values()], len(found), len(jobs))
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                found[running.pop(done)] = done.result()
    told([], len(jobs), len(jobs))
    rows = [row for i in range(len(jobs)) for row in found[i]]
    return rows + a_sarathi.best_of_falcon(rows)
