"""What becomes of promises beyond capacity, beside a deep queue, and with nothing set: on this machine's CPU,
over HTTP.

    python benchmarks/overload_cpu.py                       all parts, about 25 minutes
    python benchmarks/overload_cpu.py --part overload       a part; the others' results are kept

overload    chat and interactive refuse what would come too late. 20 s at 3 times capacity, then 40 s at
            0.7 times. How soon a 429 comes, and whether who comes again when it says, once, is let in
background  chat at 0.3 and 0.7 of the capacity that it has when nobody else comes (found first, or
            `--chat-capacity`), alone and beside a batch queue that does not run dry: how busy the device is,
            and what that costs chat
defaults    `headway serve` without a flag: long prompts are answered, nobody is refused; and of a target
            that no load would meet the log says so once

A trial during which others had much of the cores, or the client was late, is made again, up to three times.
Capacity of the mixed load is adaptive's own as policies_cpu.py --own found it, or `--capacity`. Lengths and
targets are in cpu_world.py.
"""

import argparse
import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from cpu_trials import counted
from cpu_world import (
    MIX,
    MODEL,
    Configuration,
    classes,
    client_json,
    judged,
    mixed,
    prompt,
    warm_up,
)
from where import where

from headway.bench.client import Client, Exchange
from headway.bench.load import Played, obeying, play
from headway.bench.served import Server, disturbance, left_alone, serving, usage
from headway.bench.wire import Asked
from headway.sim.capacity import attained
from headway.sim.capacity import capacity as largest_rate

RESULTS = Path(__file__).parent / "results" / "overload-cpu.json"
ADAPTIVE = Configuration("adaptive", 2048, 64)
REFUSING = (
    "chat:ttft=2s,itl=200ms,on-overload=refuse",
    "interactive:ttft=2s,deadline=6s,on-overload=refuse",
)
refusal_s = 0.05  # a 429 comes within it
overload_s, calm_s, drain_s = 20.0, 40.0, 12.0
capacity_seed, chat_guess = 21, 0.85  # requests/s, near chat's own capacity on two cores
batch_rate = 5.0  # requests of the deep queue for each second of a trial: more than can be served
most_named_s = 20.0

Row = dict[str, Any]


# ---- overload


def overload_schedule(capacity: float, seed: int) -> list[Asked]:
    calm = mixed(0.7 * capacity, seed + 1, calm_s)
    return mixed(3 * capacity, seed, overload_s) + [replace(a, at_s=a.at_s + overload_s) for a in calm]


def overload(capacity: float, seed: int) -> Row:
    schedule = overload_schedule(capacity, seed)
    with serving(MODEL, ADAPTIVE.flags(REFUSING)) as server:
        asyncio.run(play(warm_up(), server.target, 30.0))
        before, horizon_s = usage(server), overload_s + calm_s + drain_s
        played = asyncio.run(play(schedule, server.target, horizon_s, way=obeying))
        cores = disturbance(before, usage(server))
    facts = {"cores": cores, "client": client_json(played), "valid": played.valid and left_alone(cores)}
    return {"seed": seed, **refusals(played.exchanges), **phases(played), **facts}


def refusals(exchanges: Sequence[Exchange]) -> Row:
    """Of those sent for the first time, and of those that came again."""
    seen: dict[int, list[Exchange]] = {}
    for exchange in exchanges:
        seen.setdefault(id(exchange.asked), []).append(exchange)
    refused = [tries[0] for tries in seen.values() if tries[0].status == 429]
    again = [tries[1] for tries in seen.values() if len(tries) > 1 and tries[1].status is not None]
    waits_s = [
        e.first_byte_s - e.dispatched_s for e in exchanges if e.status == 429 and e.first_byte_s is not None
    ]
    return {
        "asked": len(seen),
        "refused": len(refused),
        "refusals": len(waits_s),  # of those who came again too
        "refusal_s": spread(waits_s),
        "refused_in_time": sum(wait_s <= refusal_s for wait_s in waits_s),
        "retry_after_s": spread([e.retry_after_s for e in refused if e.retry_after_s is not None]),
        "came_again": len(again),
        "let_in": sum(e.status == 200 for e in again),
    }


def phases(played: Played) -> Row:
    """The promises of those let in at once, by when they came."""
    admitted = [e for e in played.exchanges if e.status != 429 and e.dispatched_s < e.asked.at_s + 0.5]
    beyond = replace(played, exchanges=[e for e in admitted if e.asked.at_s < overload_s])
    calm = replace(played, exchanges=[e for e in admitted if e.asked.at_s >= overload_s])
    promised = classes(REFUSING)
    return {
        "beyond_capacity": judged(beyond, overload_s, promised).as_json(),
        "afterwards": judged(calm, calm_s, promised).as_json(),
    }


def spread(values: Sequence[float]) -> Row | None:
    if not values:
        return None
    ranked = sorted(values)
    p95 = ranked[-(-len(ranked) * 95 // 100) - 1]
    return {"p50": round(median(ranked), 4), "p95": round(p95, 4), "max": round(ranked[-1], 4)}


# ---- background


def background_schedule(rate: float, seed: int, seconds: float, *, queue: bool) -> list[Asked]:
    chat = mixed(rate, seed, seconds, {"chat": MIX["chat"]._replace(share=1.0)})
    if not queue:
        return chat
    deep = mixed(batch_rate, seed + 1000, seconds, {"batch": MIX["batch"]._replace(share=1.0)})
    return [replace(asked, at_s=0.0) for asked in deep] + chat


def chat_capacity(seconds: float) -> float:
    """The largest rate at which chats that come alone have an attainment of 95 %, to a tenth."""

    def can(rate: float) -> bool:
        row = counted(partial(filled, rate, capacity_seed, seconds, queue=False))
        met: float = row["classes"]["chat"]["attainment"]
        print(f"background: chat alone at {rate:.3f}/s: attainment {met:.1%}", flush=True)
        return met >= attained

    return round(largest_rate(can, chat_guess, tolerance=0.1, stride=1.25), 3)


def background(capacity: float, seed: int, seconds: float) -> list[Row]:
    return [
        {
            "factor": factor,
            "seed": seed,
            "queue": queue,
            **counted(partial(filled, factor * capacity, seed, seconds, queue=queue)),
        }
        for factor in (0.3, 0.7)
        for queue in (False, True)
    ]


def filled(rate: float, seed: int, seconds: float, *, queue: bool) -> Row:
    """Chats are judged; the device's share of the time until the last one came."""
    with serving(MODEL, ADAPTIVE.flags()) as server:
        asyncio.run(play(warm_up(), server.target, 30.0))
        busy: list[float] = []

        async def watch(client: Client) -> None:
            before = await asyncio.to_thread(busy_s, server)
            await asyncio.sleep(seconds)
            busy.append((await asyncio.to_thread(busy_s, server) - before) / seconds)
            await asyncio.sleep(drain_s)

        schedule = background_schedule(rate, seed, seconds, queue=queue)
        start = usage(server)
        played = asyncio.run(play(schedule, server.target, seconds + drain_s, beside=watch))
        cores = disturbance(start, usage(server))
    result = judged(played, seconds, classes()).as_json()
    facts = {"cores": cores, "valid": played.valid and left_alone(cores)}
    return {"rate": round(rate, 3), "seconds": seconds, "busy": round(busy[0], 4), **facts, **result}


def busy_s(server: Server) -> float:
    return server.metrics()["headway:step_seconds_sum"]


# ---- defaults


def defaults() -> Row:
    """Prompts far longer than a step; then a class that nobody could serve in time."""
    sizes = (1000, 2000, 4000, 7000, 100, 100, 100)
    schedule = [Asked(0.5 * i, "chat", prompt(f"default/{i}", n), 16) for i, n in enumerate(sizes)]
    with serving(MODEL, []) as server:
        played = asyncio.run(play(schedule, server.target, 120.0))
        said = named(server.log.read_text())
        shown = [c["name"] for c in server.slo()["classes"] for _ in c["infeasible"]]
    with serving(MODEL, ["--class", "hurried:itl=2ms"]) as server:
        hurried = [Asked(0.5 * i, "hurried", prompt(f"hurried/{i}", 50), 20) for i in range(20)]
        asyncio.run(play(hurried, server.target, most_named_s))
        said_of_hurried = named(server.log.read_text())
    return {
        "asked": len(sizes),
        "answered": sum(e.complete for e in played.exchanges),
        "refused": sum(e.status == 429 for e in played.exchanges),
        "named": said,
        "shown_as_infeasible": shown,
        "named_of_a_hurried_class": said_of_hurried,
    }


def named(log: str) -> list[str]:
    """What it says of targets that cannot be kept."""
    return [line.split(" headway.slo ")[-1] for line in log.splitlines() if "cannot be kept" in line]


# ---- all


def told(part: str, row: Row) -> str:
    if part == "overload":
        late = "" if row["valid"] else "; NOT VALID"
        after = row["afterwards"]["attainment"]
        return (
            f"{row['refused']} of {row['asked']} refused, within {row['refusal_s']} s, "
            f"{row['refused_in_time']} of all refusals in time; {row['came_again']} came again, "
            f"{row['let_in']} of them let in; attainment {row['beyond_capacity']['attainment']:.0%}, "
            f"then {after:.0%}{late}"
        )
    if part == "background":
        chat = row["classes"]["chat"]["attainment"]
        beside = "with a queue" if row["queue"] else "alone"
        late = "" if row["valid"] else "; NOT VALID"
        at = f"chat at {row['factor']} of its capacity"
        return f"{at}, {beside}: attainment {chat:.1%}, busy {row['busy']:.0%}{late}"
    return ", ".join(f"{name} {value}" for name, value in row.items())


def capacity_found() -> float | None:
    """What policies_cpu.py found: adaptive's own, else the best fixed configuration's."""
    path = RESULTS.with_name("policies-cpu.json")
    found = json.loads(path.read_text()) if path.exists() else {}
    return found.get("own_capacity") or found.get("capacity")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = ("overload", "background", "defaults")
    parser.add_argument("--part", action="append", choices=parts, help="default: all")
    parser.add_argument("--capacity", type=float, default=capacity_found() or 1.4, help="requests/s")
    parser.add_argument("--chat-capacity", type=float, help="requests/s of chat alone; default: found first")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=60.0, help="of a trial of background")
    parser.add_argument("--json", action="store_true", help="the last line is everything as one JSON object")
    given = parser.parse_args()
    runs: dict[str, Callable[[int], list[Row]]] = {
        "overload": lambda seed: [counted(partial(overload, given.capacity, seed))],
        "background": lambda seed: background(capacities["background"], seed, given.seconds),
        "defaults": lambda seed: [defaults()] if seed == 1 else [],
    }
    everything = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    capacities = dict.fromkeys(parts, given.capacity)
    for part in given.part or parts:
        facts, rows = where(), list[Row]()
        if part == "background":
            capacities[part] = given.chat_capacity or chat_capacity(1.5 * given.seconds)
        for seed in range(1, given.rounds + 1):
            for row in runs[part](seed):
                rows.append(row)
                print(f"{part}: {told(part, row)}", flush=True)
        of = {"chat_alone": True} if part == "background" else {}  # what the capacity is of
        everything[part] = {"where": facts, "capacity": capacities[part], **of, "trials": rows}
        RESULTS.write_text(json.dumps(everything, indent=1) + "\n")
    if given.json:
        print(json.dumps(everything))


if __name__ == "__main__":
    main()
