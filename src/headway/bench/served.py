"""A server process of its own for a measurement: started, asked how it is, ended. And who else was at work on
its machine.

Owns the process, its files and what is read from /metrics. The server is `headway serve` of this
environment's Python; what it logs lies in a temporary file and is shown when it does not come up.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.request import urlopen

from headway.bench.wire import Target, read_target

EXIT_S, SCRAPE_S = 20.0, 10.0
most_taken = 0.15  # cores that others may have had of a trial that counts
look_s, most_wait_s = 5.0, 180.0  # before a trial: so long quiet, or no longer waited for


class NotServed(Exception):
    """The server did not come up, or ended while it was measured; the message ends with its last words."""


@dataclass(frozen=True, slots=True)
class Server:
    url: str
    log: Path
    pid: int
    model: str  # as clients name it
    kv_tokens: int

    @property
    def target(self) -> Target:
        return read_target(self.url, self.model)

    def metrics(self) -> "Metrics":
        with urlopen(f"{self.url}/metrics", timeout=SCRAPE_S) as answer:
            return read_metrics(answer.read().decode())

    def slo(self) -> Any:
        with urlopen(f"{self.url}/v1/slo", timeout=SCRAPE_S) as answer:
            return json.load(answer)

    def max_model_len(self) -> int:
        """Tokens of one sequence."""
        with urlopen(f"{self.url}/v1/models", timeout=SCRAPE_S) as answer:
            return int(json.load(answer)["data"][0]["max_model_len"])


@contextmanager
def serving(model: str, flags: Sequence[str]) -> Iterator[Server]:
    """Up and ready. What runs when this is left is cut off. Raises NotServed."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        command = [sys.executable, "-m", "headway.cli", "serve", model, "--port", "0", "--json"]
        with log.open("w") as stderr:
            process = subprocess.Popen(
                [*command, "--shutdown-timeout", "0", *flags],
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env=_environment(),
                start_new_session=True,
            )
        try:
            ready = _ready(process, log)
            yield Server(ready["url"], log, process.pid, ready["model"], ready["kv_tokens"])
        except OSError as error:
            if process.poll() is None:
                raise
            words = f"the server ended with {process.returncode} while it was measured ({error})"
            raise NotServed(f"{words}:\n{log.read_text()[-3000:]}") from error
        finally:
            _end(process)


def _environment() -> dict[str, str]:
    """Without the settings of whoever measures: a server has its own from flags alone."""
    kept = ("HEADWAY_CACHE",)
    return {name: value for name, value in os.environ.items() if name in kept or name[:8] != "HEADWAY_"}


def _ready(process: "subprocess.Popen[str]", log: Path) -> dict[str, Any]:
    assert process.stdout is not None
    stdout: IO[str] = process.stdout
    for line in stdout:
        if line.startswith('{"url"'):
            return dict[str, Any](json.loads(line))
    raise NotServed(f"the server did not come up:\n{log.read_text()[-3000:]}")


def _end(process: "subprocess.Popen[str]") -> None:
    process.terminate()
    try:
        process.wait(EXIT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # its engine too: it leads their group
        process.wait()


Metrics = Mapping[str, float]  # by name and labels as they are written
_sample = re.compile(r"^([a-zA-Z_:]\w*(?::\w+)*(?:\{[^}]*\})?) (\S+)$", re.MULTILINE)


def read_metrics(text: str) -> Metrics:
    return {name: float(value) for name, value in _sample.findall(text)}


def buckets(metrics: Metrics, name: str) -> list[tuple[float, float]]:
    """(bound, observations up to it) of a histogram without labels of its own; rising, the last infinite."""
    found = re.compile(re.escape(name) + r'_bucket\{le="([^"]+)"\}')
    pairs = [(float(match[1]), n) for key, n in metrics.items() if (match := found.fullmatch(key))]
    return sorted(pairs)


class Usage(NamedTuple):
    """Seconds of the machine's cores since it started, told apart by who had them."""

    at_s: float
    own_s: float  # the server's and this process's
    busy_s: float  # everybody's
    stolen_s: float  # a virtual machine's: by its host


def usage(server: Server, proc: Path = Path("/proc")) -> Usage | None:
    """None: not on Linux."""
    if not (proc / "stat").exists():
        return None
    tick_s = 1.0 / os.sysconf("SC_CLK_TCK")
    user, nice, system, _, _, irq, soft, stolen = map(int, (proc / "stat").read_text().split()[1:9])
    own = _ticks_of_tree(server.pid, proc)
    busy_s = tick_s * (user + nice + system + irq + soft)
    return Usage(time.monotonic(), own * tick_s + time.process_time(), busy_s, tick_s * stolen)


def _ticks_of_tree(root: int, proc: Path) -> int:
    """Of a process and all that it started."""
    ticks, children = dict[int, int](), dict[int, list[int]]()
    for path in proc.glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        pid = int(path.parent.name)
        ticks[pid] = int(fields[11]) + int(fields[12])
        children.setdefault(int(fields[1]), []).append(pid)
    tree = [root]
    for pid in tree:
        tree += children.get(pid, [])
    return sum(ticks.get(pid, 0) for pid in tree)


def disturbance(before: Usage | None, after: Usage | None) -> dict[str, float]:
    """What others had of the cores in between, in cores."""
    if before is None or after is None:
        return {}
    took_s = after.at_s - before.at_s
    others_s = (after.busy_s - before.busy_s) - (after.own_s - before.own_s)
    stolen_s = after.stolen_s - before.stolen_s
    return {"others": round(max(0.0, others_s) / took_s, 3), "stolen": round(stolen_s / took_s, 3)}


def left_alone(cores: Mapping[str, float]) -> bool:
    """Whether what others had of the cores is too little to speak of."""
    return sum(cores.values()) <= most_taken


def await_quiet(look_s: float = look_s, most_wait_s: float = most_wait_s) -> None:
    """Until others have left the cores alone for a while. Not for ever: a trial sees what disturbs it."""
    own = Server("", Path(), os.getpid(), "", 0)
    for _ in range(int(most_wait_s / look_s)):
        before = usage(own)
        if before is None:
            return
        time.sleep(look_s)
        if left_alone(disturbance(before, usage(own))):
            return
