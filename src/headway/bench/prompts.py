"""What is asked over HTTP: prompts of so many tokens, drawn, that begin alike where a workload says so.

Token ids are taken from the middle of a vocabulary, where ids stand for plain text. As text, a prompt is made
of short words that are a token each to most tokenizers; how many a server made of them its answer tells.
"""

from collections.abc import Iterator
from random import Random

from headway.bench.workload import Arrival

first_id, last_id = 1000, 29_999
_words = [
    "time", "year", "people", "way", "day", "man", "thing", "woman", "life", "child", "world", "school",
    "state", "family", "student", "group", "country", "problem", "hand", "part", "place", "case",
    "week", "company", "system", "program", "question", "work", "government", "number", "night",
    "point", "home", "water", "room", "mother", "area", "money", "story", "fact", "month", "lot",
    "right", "study", "book", "eye", "job", "word", "business", "issue", "side", "kind", "head",
    "house", "service", "friend", "father", "power", "hour", "game", "line", "end", "member", "law",
    "car", "city", "name", "team", "minute", "idea",
]  # fmt: skip


def as_ids(arrival: Arrival, number: int, seed: int) -> list[int]:
    """`number`: which of the run's requests it is."""
    ids: list[int] = []
    for random, count in _pieces(arrival, number, seed):
        ids += random.choices(range(first_id, last_id + 1), k=count)
    return ids


def as_text(arrival: Arrival, number: int, seed: int) -> str:
    words: list[str] = []
    for random, count in _pieces(arrival, number, seed):
        words += random.choices(_words, k=count)
    return " ".join(words)


def _pieces(arrival: Arrival, number: int, seed: int) -> Iterator[tuple[Random, int]]:
    """What it is drawn from, block by block, and how much: what has the same name is the same text."""
    left = arrival.prompt_tokens
    if arrival.prefix is not None:
        for digest in arrival.prefix.hashes:
            count = min(left, arrival.prefix.block_tokens)
            yield Random(f"{seed}/shared/{digest}"), count
            left -= count
    yield Random(f"{seed}/own/{number}"), left
