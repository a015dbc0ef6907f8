"""Words and bars on a terminal: what commands and the library show while something takes time.

All but tables goes to stderr, so that stdout carries answers alone.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

unbound = 1000  # columns of a line that goes to no terminal: as wide as the table is


def show_table(table: Table) -> None:
    """Whole: what a terminal has no room for goes on in the next line of its cell."""
    for column in table.columns:
        column.overflow = "fold"
    console = Console()
    if not console.is_terminal:
        console.width = unbound
    console.print(table)


@contextmanager
def fetching(name: str) -> Iterator[Callable[[str, int, int | None], None]]:
    """A bar for a model that is being fetched. It appears only once something is."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    bar = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True)
    task = bar.add_task(name, total=None)

    def show(phase: str, done: int, total: int | None) -> None:
        bar.start()  # the first time; an empty bar would leave an empty line
        bar.update(task, description=f"{phase} {name}", completed=done, total=total)

    try:
        yield show
    finally:
        if bar.live.is_started:
            bar.stop()


@contextmanager
def counting(what: str, total: int, *, shown: bool) -> Iterator[Callable[[], None]]:
    """A bar that counts to `total`, one step a call; none where there is no terminal."""
    columns = (
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    disable = not (shown and console.is_terminal)
    with Progress(*columns, console=console, transient=True, disable=disable) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)


@contextmanager
def live_line() -> Iterator[Callable[[str], None]]:
    """One line that is written anew each time; none where there is no terminal."""
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)

        def tell(words: str) -> None:
            bar.update(task, description=words)

        yield tell


@contextmanager
def telling() -> Iterator[Callable[[Sequence[str], int, int], None]]:
    """A bar for jobs side by side: it is told what runs now, how many are done, of how many. None where there
    is no terminal.
    """
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)

        def tell(running: Sequence[str], done: int, total: int) -> None:
            bar.update(task, description="; ".join(running), completed=done, total=total)

        yield tell
