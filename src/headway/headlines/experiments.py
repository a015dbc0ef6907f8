"""All experiments by their letters, and running them in processes: rows in the order they are listed in."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
    g_machine,
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

MEASURED: Mapping[str, Callable[[Effort, g_machine.Serve], list[Job]]] = {"G": g_machine.jobs}
"""Of the real engine on this machine: one job at a time, and nothing else meanwhile."""

Told = Callable[[Sequence[str], int, int], None]  # what runs now, how many jobs are done, of how many


def jobs_of(letters: Iterable[str], effort: Effort) -> list[Job]:
    return [job for letter in letters for job in EXPERIMENTS[letter](effort)]


def run(jobs: Sequence[Job], processes: int, told: Told) -> Iterator[tuple[Job, list[Row]]]:
    """Each job's rows as soon as it is done. The longest begin first, so that the processes end at about the
    same time.
    """
    waiting = sorted(jobs, key=lambda job: job.work)
    running: dict[Future[list[Row]], Job] = {}
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        while waiting or running:
            while waiting and len(running) < processes:
                job = waiting.pop()
                running[pool.submit(job.run)] = job
            told([job.label for job in running.values()], len(jobs) - len(waiting) - len(running), len(jobs))
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(done), done.result()
    told([], len(jobs), len(jobs))


def in_order(jobs: Sequence[Job], found: Mapping[str, list[Row]]) -> list[Row]:
    """The rows of jobs, `found` by their labels; then those that compare several jobs' rows."""
    rows = [row for job in jobs for row in found.get(job.label, ())]
    return rows + a_sarathi.best_of_falcon(rows)
