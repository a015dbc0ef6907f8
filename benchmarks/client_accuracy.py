"""What `headway bench` measures of a server whose times are known: mock_server.py, in a process of its own.

    python benchmarks/client_accuracy.py            three minutes

script      first tokens and gaps beside what was scripted: within 1 ms and 2 % of it?
stall       a server that stands still for 2 s of every 10: what the open loop sees of it, and the closed one
crowd       500 streams at 5,000 tokens a second: is the client still in time?
"""

import argparse
import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from where import where

from headway.bench.arrivals import poisson
from headway.bench.load import Played, play
from headway.bench.run_figures import figures
from headway.bench.served import await_quiet
from headway.bench.wire import Asked, read_target
from headway.core.slo import BUILT_IN

RESULTS = Path(__file__).parent / "results" / "client-accuracy.json"
MOCK = Path(__file__).parent / "mock_server.py"
SCRIPTS = ((0.2, 0.02, 10.0, 40), (0.05, 0.005, 4.0, 200), (1.0, 0.1, 20.0, 20))  # first, gap, rate, tokens
seconds, near_s, near_share = 15.0, 0.001, 0.02

Row = dict[str, Any]


@contextmanager
def mock(**flags: float) -> Iterator[str]:
    given = [part for name, value in flags.items() for part in (f"--{name}", str(value))]
    command = [sys.executable, str(MOCK), *given]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def schedule(rate: float, tokens: int, seconds: float) -> list[Asked]:
    random, asked, at_s = Random(1), list[Asked](), 0.0
    while (at_s := at_s + poisson(random) / rate) < seconds:
        asked.append(Asked(at_s, "batch", [1000 + len(asked)] * 32, tokens))
    return asked


def run(url: str, asked: list[Asked], at_a_time: int | None = None) -> tuple[Played, Row]:
    played = asyncio.run(play(asked, read_target(url, "mock"), 120.0, at_a_time=at_a_time))
    return played, figures(played, BUILT_IN)


def script(first_s: float, gap_s: float, rate: float, tokens: int) -> Row:
    with mock(first=first_s, gap=gap_s) as url:
        played, found = run(url, schedule(rate, tokens, seconds))
    scripted = (("ttft_s", first_s), ("tpot_s", gap_s), ("itl_s", gap_s))
    rows = {name: beside(found[name], scripted_s) for name, scripted_s in scripted}
    return {"rate": rate, **rows, **client(played, found)}


def beside(found: Row, scripted_s: float) -> Row:
    ranks = {rank: found[rank] for rank in ("p50", "p95", "p99")}
    most_s = near_s + near_share * scripted_s
    return {
        "scripted": scripted_s,
        **ranks,
        "within": [abs(s - scripted_s) <= most_s for s in ranks.values()],
    }


def client(played: Played, found: Row) -> Row:
    keys = ("requests_per_s", "output_tok_s", "requested_rate", "achieved_rate", "failed")
    return {**{key: found[key] for key in keys}, "client": found["client"], "valid": played.valid}


def stall() -> Row:
    rows: Row = {}
    with mock(first=0.1, gap=0.01, stall=2, every=10) as url:
        for name, at_a_time in (("open", None), ("closed", 1)):
            _, found = run(url, schedule(10.0, 5, 30.0), at_a_time)
            rows[name] = {rank: found["ttft_s"][rank] for rank in ("p50", "p95", "p99")}
    return rows


def crowd() -> Row:
    with mock(first=0.5, gap=0.1) as url:
        asked = [Asked(0.0, "batch", [1000] * 32, 100) for _ in range(1500)]
        played, found = run(url, asked, 500)
    itl = {rank: found["itl_s"][rank] for rank in ("p50", "p95", "p99")}
    return {"streams": 500, "itl": itl, **client(played, found)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found: Row = {**where(), "scripts": []}
    for one in SCRIPTS:
        await_quiet()
        found["scripts"].append(script(*one))
        print(json.dumps(found["scripts"][-1]), flush=True)
    for name, measure in (("stall", stall), ("crowd", crowd)):
        await_quiet()
        found[name] = measure()
        print(name, json.dumps(found[name]), flush=True)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    if given.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
