"""Eight running chats beside a stream of prompts of 2,000 to 4,000 tokens, on this machine's CPU, over HTTP.

    python benchmarks/long_prompts_cpu.py                                 all of it, about 8 minutes
    python benchmarks/long_prompts_cpu.py --policy adaptive --seconds 30  a part; the file then has that part

A trial has a server of its own. Eight chats begin, 150 ms between tokens promised, with answers that do not
end within the run; from 4 s on a long prompt comes every 5 s and asks for 8 tokens. It is asked for as
`batch` and, in trials of their own, as `chat`, whose promise for the first token (1 s) no prompt of that
length can be given here. Judged are the gaps of the chats from the first long prompt's arrival on, by the
client's clock: the target holds if 95 in 100 gaps of each chat are within it. Policies take turns within a
round; a trial during which others had much of the cores, or the client was late, is made again, up to three
times. The means to that end are in cpu_world.py and src/headway/bench.
"""

import argparse
import asyncio
import json
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from cpu_trials import counted
from cpu_world import MODEL, Configuration, client_json, percentiles_json, prompt, quantiles, warm_up
from where import where

from headway.bench.client import Exchange
from headway.bench.load import play
from headway.bench.report import percentile
from headway.bench.served import disturbance, left_alone, serving, usage
from headway.bench.wire import Asked

RESULTS = Path(__file__).parent / "results" / "long-prompts-cpu.json"
PROMISES = ("chat:ttft=1s,itl=150ms",)
target_s = 0.15
chats, chat_prompt, endless = 8, 100, 4000
first_long_s, every_s, long_output = 4.0, 5.0, 8
CONFIGURATIONS = {
    policy: Configuration(policy, 2048, 64) for policy in ("adaptive", "stall-free", "prefill-first")
}


def schedule(long_class: str, seed: int, seconds: float) -> list[Asked]:
    begun = [Asked(0.05 * i, "chat", prompt(f"{seed}/chat/{i}", chat_prompt), endless) for i in range(chats)]
    random, at_s = Random(f"{seed}/long"), first_long_s
    long: list[Asked] = []
    while at_s < seconds:
        tokens = random.randint(2000, 4000)
        long.append(Asked(at_s, long_class, prompt(f"{seed}/long/{len(long)}", tokens), long_output))
        at_s += every_s
    return begun + long


def trial(configuration: Configuration, long_class: str, seed: int, seconds: float) -> dict[str, Any]:
    with serving(MODEL, configuration.flags(PROMISES)) as server:
        asyncio.run(play(warm_up(), server.target, 30.0))
        before = usage(server)
        played = asyncio.run(play(schedule(long_class, seed, seconds), server.target, seconds))
        cores = disturbance(before, usage(server))
        error = server.slo()["forecast_error"]
    is_chat = [exchange.asked.output_tokens == endless for exchange in played.exchanges]
    of_chats = [e for e, chat in zip(played.exchanges, is_chat, strict=True) if chat]
    of_long = [e for e, chat in zip(played.exchanges, is_chat, strict=True) if not chat]
    return {
        **configuration._asdict(),
        "long_class": long_class,
        "seed": seed,
        "seconds": seconds,
        "chats": chats_json(of_chats, seconds),
        "long": long_json(of_long),
        "forecast_error": error and round(error, 4),
        "valid": played.valid and left_alone(cores),
        "cores": cores,
        "client": client_json(played),
    }


def chats_json(exchanges: list[Exchange], until_s: float) -> dict[str, Any]:
    """A chat that waits for a token at the end has a gap that is still open: it counts as it stands."""
    by_chat = [
        np.diff([*(s for s in each.stamps if s >= first_long_s), until_s])
        if each.stamps
        else np.array([until_s])
        for each in exchanges
    ]
    gaps = np.concatenate(by_chat)
    p95s = [percentile(each, 95) for each in by_chat]
    return {
        "itl": percentiles_json(quantiles(gaps)),
        "itl_max_s": round(float(gaps.max()), 4),
        "itl_p95_of_worst_chat_s": round(max(p95s), 4),
        "within_target": sum(p95 <= target_s for p95 in p95s),
        "of": len(p95s),
        "tokens_per_s": round(len(gaps) / (until_s - first_long_s), 2),
    }


def long_json(exchanges: list[Exchange]) -> dict[str, Any]:
    """What was answered of what came; a prompt of the last seconds can have no answer yet."""
    waits = np.array([each.stamps[0] - each.asked.at_s for each in exchanges if each.stamps])
    return {"asked": len(exchanges), "begun": len(waits), "ttft": percentiles_json(quantiles(waits))}


def told(row: dict[str, Any]) -> str:
    c, long = row["chats"], row["long"]
    itl = "ITL p50 {p50:.3f} p95 {p95:.3f} p99 {p99:.3f}".format(**c["itl"])
    name = f"{row['policy']} {row['budget']}, long as {row['long_class']}:"
    ttft = "-" if long["ttft"] is None else f"{long['ttft']['p50']:.1f}"
    return (
        f"{name:38} {itl} max {c['itl_max_s']:.2f} s, {c['within_target']} of {c['of']} chats within target; "
        f"{long['begun']} of {long['asked']} long prompts begun, TTFT p50 {ttft} s"
        f"; others had {row['cores'].get('others', 0.0):.2f} of a core"
        + ("" if row["valid"] else "; DISTURBED")
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--policy", action="append", choices=list(CONFIGURATIONS), help="default: all")
    parser.add_argument("--long-class", action="append", choices=["batch", "chat"], help="default: both")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60.0, help="of a trial")
    parser.add_argument("--json", action="store_true", help="the last line is everything as one JSON object")
    given = parser.parse_args()
    facts, rows = where(), []
    for seed in range(1, given.rounds + 1):
        for long_class in given.long_class or ["batch", "chat"]:
            for policy in given.policy or CONFIGURATIONS:
                rows.append(counted(partial(trial, CONFIGURATIONS[policy], long_class, seed, given.seconds)))
                print(told(rows[-1]), flush=True)
    everything = {**facts, "target_itl_s": target_s, "trials": rows}
    RESULTS.write_text(json.dumps(everything, indent=1) + "\n")
    if given.json:
        print(json.dumps(everything))


if __name__ == "__main__":
    main()
