"""Traces and lengths of files: each format, what becomes of its rows, and how what is wrong is said: in one
line, with file, line and field."""

import json
from math import inf
from pathlib import Path
from time import perf_counter

import pytest

from headway.bench.fields import BadWorkload
from headway.bench.traces import Trace, read_pairs, read_trace
from headway.bench.workload import request
from tests.bench.data import data_file

PLAIN = "at_s,prompt_tokens,output_tokens,class,max_tokens\n"
AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
BURST = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
VIDUR = "arrived_at,num_prefill_tokens,num_decode_tokens\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "trace"


def written(file: Path, text: str, **options: object) -> Trace:
    file.write_text(text)
    return read_trace(file, **options)  # type: ignore[arg-type]


def sizes(trace: Trace) -> list[tuple[float, int, int]]:
    return [(round(a.at_s, 6), a.prompt_tokens, a.output_tokens) for a in trace.requests]


def test_azure_as_it_is_published_of_2023_and_of_2024(file: Path) -> None:
    for rows in (
        "2023-11-16 18:17:03.9799600,4808,10\n2023-11-16 18:17:04.0319600,3180,8\n",
        "2024-05-10 23:59:59.990000+00:00,4808,10\n2024-05-11 00:00:00.042000+00:00,3180,8\n",
    ):
        trace = written(file, AZURE + rows)
        assert sizes(trace) == [(0.0, 4808, 10), (0.052, 3180, 8)]
        assert {a.service_class for a in trace.requests} == {"chat"}
        assert {a.max_tokens for a in trace.requests} == {10}, "nobody knows how long the answer will be"


def test_azure_with_seconds(file: Path) -> None:
    assert sizes(written(file, VIDUR + "0.0,374,44\n4.314579,396,109\n")) == [
        (0.0, 374, 44),
        (4.314579, 396, 109),
    ]


def test_burstgpt_with_its_failures_counted(file: Path) -> None:
    rows = "5,ChatGPT,472,18,490,Conversation log\n7,GPT-4,30,0,30,API log\n45,GPT-4,1087,230,1317,API log\n"
    trace = written(file, BURST + rows)
    assert sizes(trace) == [(0.0, 472, 18), (40.0, 1087, 230)]
    assert trace.left_out == 1
    third = "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    assert sizes(written(file, third + "5,s1,0.7,ChatGPT,472,18,490,API log\n")) == [(0.0, 472, 18)]


def mooncake(*rows: tuple[int, int, int, object]) -> str:
    names = ("timestamp", "input_length", "output_length", "hash_ids")
    return "".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows)


def test_mooncake_s_hashes_become_prompts_that_begin_alike(file: Path) -> None:
    rows = ((0, 6758, 500, [*range(14)]), (3000, 1300, 20, [0, 1, 99]), (3000, 1100, 20, [50, 51, 52]))
    trace = written(file, mooncake(*rows))
    assert sizes(trace) == [(0.0, 6758, 500), (3.0, 1300, 20), (3.0, 1100, 20)]
    first, second, third = (request(id, a).prompt for id, a in enumerate(trace.requests))
    assert first[:1024] == second[:1024]
    assert first[:1040] != second[:1040]
    assert first[:16] != third[:16]


def test_plain_rows_in_both_forms_read_the_same(file: Path) -> None:
    rows = [
        {"at_s": 0.5, "prompt_tokens": 40, "output_tokens": 3, "class": "batch", "max_tokens": 16}
        | {"prefix": ["00000000000000aa", "ff"], "block_tokens": 16, "finish_reason": "stop"},
        {"at_s": 0.25, "prompt_tokens": 7, "output_tokens": 9},
    ]
    columns = "at_s,prompt_tokens,output_tokens,class,max_tokens,prefix,block_tokens\n"
    as_csv = written(file, columns + "0.5,40,3,batch,16,00000000000000aa ff,16\n\n0.25,7,9,,,,\n")
    as_json = written(file, "".join(json.dumps(row) + "\n" for row in rows))
    assert as_csv == as_json
    late, early = as_csv.requests[1], as_csv.requests[0]
    assert (early.at_s, early.service_class, early.max_tokens, early.prefix) == (0.25, "chat", 9, None)
    assert (late.service_class, late.max_tokens) == ("batch", 16)
    assert late.prefix is not None
    assert (late.prefix.hashes.tolist(), late.prefix.block_tokens) == ([170, 255], 16)


def test_a_window_begins_at_nought_and_has_its_own_rate(file: Path) -> None:
    text = PLAIN + "".join(f"{i},10,5,chat,8\n" for i in range(100))
    trace = written(file, text, start_s=20.0, end_s=60.0)
    assert [a.at_s for a in trace.requests] == [float(i) for i in range(40)]
    assert trace.rate == 1.0


def test_another_rate_stretches_the_gaps_and_nothing_else(file: Path) -> None:
    text = PLAIN + "".join(f"{i * i},{10 + i},5,chat,8\n" for i in range(11))
    trace = written(file, text)
    assert trace.rate == pytest.approx(11 / 100)
    as_it_was = list(trace.arrivals(trace.rate, 1, inf))
    assert as_it_was == list(trace.requests)
    fast = list(trace.arrivals(2 * trace.rate, 1, inf))
    assert [a._replace(at_s=a.at_s * 2) for a in fast] == as_it_was
    assert len(list(trace.arrivals(trace.rate, 1, 50.0))) == 8
    at_once = written(file, PLAIN + "0,10,5,,\n0,10,5,,\n")
    assert [a.at_s for a in at_once.arrivals(3.0, 1, 1.0)] == [0.0, 0.0]


def test_a_mix_takes_the_place_of_the_file_s_classes(file: Path) -> None:
    text = PLAIN + "".join(f"{i},10,5,gold,8\n" for i in range(2000))
    trace = written(file, text, classes=("chat", "batch"), mix={"chat": 0.75, "batch": 0.25})
    names = [a.service_class for a in trace.arrivals(1.0, 4, inf)]
    assert names.count("chat") / 2000 == pytest.approx(0.75, abs=0.03)
    assert names.count("batch") == 2000 - names.count("chat")
    assert names == [a.service_class for a in trace.arrivals(9.0, 4, inf)]
    assert names != [a.service_class for a in trace.arrivals(1.0, 5, inf)]


JSON = '{"at_s": 0, "prompt_tokens": 5, "output_tokens": 5}\n'
MALFORMED = {  # a file, and what its message says after the file's name
    "empty": ("", "is empty"),
    "blank": ("\n\n", "is empty"),
    "no known columns": ("a,b,c\n1,2,3\n", "line 1: no trace that is known"),
    "a column missing": ("TIMESTAMP,ContextTokens\n", "line 1: GeneratedTokens: missing"),
    "only a first line": (AZURE, "it has no request"),
    "too few values": (AZURE + "2023-11-16 18:17:03,5\n", "line 2: GeneratedTokens: missing"),
    "too many values": (VIDUR + "0,5,5\n1,5,5,9\n", "line 3: num_decode_tokens: 4 values"),
    "words for tokens": (VIDUR + "0,5,5\n1,many,5\n", "line 3: num_prefill_tokens: 'many'"),
    "after empty lines": (VIDUR + "\n\n0,5,x\n", "line 4: num_decode_tokens: 'x'"),
    "negative tokens": (VIDUR + "0,-5,5\n", "line 2: num_prefill_tokens: '-5'"),
    "half a token": (VIDUR + "0,5.5,5\n", "line 2: num_prefill_tokens: '5.5'"),
    "tokens beyond all bounds": (VIDUR + "0,5,16777217\n", "line 2: num_decode_tokens: '16777217'"),
    "five thousand digits": (VIDUR + "0,5," + "9" * 5000 + "\n", "line 2: num_decode_tokens: '999"),
    "other alphabets' digits": (VIDUR + "0,5,\u0663\n", "line 2: num_decode_tokens: '\u0663'"),
    "NaN tokens": (VIDUR + "0,nan,5\n", "line 2: num_prefill_tokens: 'nan'"),
    "NaN time": (VIDUR + "nan,5,5\n", "line 2: arrived_at: 'nan'"),
    "endless time": (VIDUR + "0,5,5\n1e400,5,5\n", "line 3: arrived_at: '1e400'"),
    "negative time": (VIDUR + "-1,5,5\n", "line 2: arrived_at: '-1'"),
    "time too late": (PLAIN + "1e10,5,5,,\n", "line 2: at_s: '1e10'"),
    "before the first": (VIDUR + "9,5,5\n8,5,5\n", "line 3: arrived_at: '8'"),
    "no date": (AZURE + "yesterday,5,5\n", "line 2: TIMESTAMP: 'yesterday'"),
    "a month too many": (AZURE + "2023-13-01 00:00:00,5,5\n", "line 2: TIMESTAMP: '2023-13-01"),
    "dates that go back": (
        AZURE + "2023-11-16 18:17:03,5,5\n2023-11-16 18:17:02,5,5\n",
        "line 3: TIMESTAMP: '2023-11-16 18:17:02'",
    ),
    "a date where seconds belong": (PLAIN + "2023-11-16 18:17:03,5,5,,\n", "line 2: at_s: '2023"),
    "an open quote": (BURST + '5,"ChatGPT,4,4,8,x\n' + "6,a,4,4,8,x\n" * 3, "line 5: not CSV"),
    "a class too long": (PLAIN + f"0,5,5,{'x' * 33},8\n", "line 2: class: 'xxx"),
    "a class unheard of": (PLAIN + "0,5,5,gold,8\n", "line 2: class: 'gold' is no class; there are"),
    "max_tokens too few": (PLAIN + "0,5,5,chat,4\n", "line 2: max_tokens: 4 is less than the 5"),
    "max_tokens nought": (PLAIN + "0,5,5,chat,0\n", "line 2: max_tokens: '0'"),
    "not JSON": (JSON + '{"at_s": 1,\n', "line 2: not JSON"),
    "no object": (JSON + "[1, 2]\n", "line 2: not a JSON object"),
    "JSON too deep": (JSON + '{"at_s":' + "[" * 100_000 + "\n", "line 2: not JSON"),
    "NaN in JSON": (JSON.replace(" 0,", " NaN,"), "line 1: at_s: nan"),
    "true for tokens": (JSON.replace(": 5,", ": true,"), "line 1: prompt_tokens: True"),
    "a field missing": (JSON + '{"at_s": 1, "prompt_tokens": 5}\n', "line 2: output_tokens: nothing is not"),
    "hashes that are none": (mooncake((0, 5, 5, [1, -1])), "line 1: hash_ids: -1 is not a hash"),
    "hashes in words": (mooncake((0, 5, 5, ["abc xyz"])), "line 1: hash_ids: 'abc xyz' is not a hash"),
    "hashes beyond 64 bits": (mooncake((0, 5, 5, [1 << 64])), "line 1: hash_ids: 18446744073709551616"),
    "no list of hashes": (mooncake((0, 5, 5, {"a": 1})), "line 1: hash_ids: {'a': 1} is not a list"),
    "hashes of no size": (JSON.replace("}", ', "prefix": ["a"]}'), "line 1: block_tokens: nothing"),
    "too many hashes": (
        JSON.replace("}", ', "prefix": ["a", "b", "c"], "block_tokens": 16777216}'),
        "line 1: prefix: 3 blocks",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_malformed_is_said_in_one_line_with_file_line_and_field(name: str, file: Path) -> None:
    text, said = MALFORMED[name]
    with pytest.raises(BadWorkload) as refused:
        written(file, text, classes=("chat", "batch"))
    message = str(refused.value)
    assert message.startswith(str(file))
    assert said in message
    assert "\n" not in message
    assert len(message) < len(str(file)) + 400


def test_files_that_are_no_text_or_not_there(file: Path, tmp_path: Path) -> None:
    file.write_bytes(VIDUR.encode() + b"0,5,5\n\xff\xfe,5,5\n")
    with pytest.raises(BadWorkload, match="line 3: not UTF-8"):
        read_trace(file)
    with pytest.raises(BadWorkload, match="No such file"):
        read_trace(tmp_path / "none")
    with pytest.raises(BadWorkload, match="directory"):
        read_trace(tmp_path)
    file.write_bytes(b"x" * (5 << 20))
    with pytest.raises(BadWorkload, match="line 1: longer than"):
        read_trace(file)
    file.write_bytes(b"\xef\xbb\xbf" + VIDUR.encode() + b"0,5,5\r\n")
    assert len(read_trace(file).requests) == 1


def test_a_named_kind_must_be_that_kind(file: Path) -> None:
    assert len(written(file, VIDUR + "0,5,5\n", kind="azure").requests) == 1
    with pytest.raises(BadWorkload, match="line 1: Timestamp: missing, and a trace of burstgpt has it"):
        written(file, VIDUR + "0,5,5\n", kind="burstgpt")
    with pytest.raises(BadWorkload, match="'vidur' is no kind of trace; there are plain, azure"):
        written(file, VIDUR + "0,5,5\n", kind="vidur")


def test_a_window_with_nobody_in_it(file: Path) -> None:
    with pytest.raises(BadWorkload, match="no request from 50 to inf seconds"):
        written(file, VIDUR + "0,5,5\n", start_s=50.0)
    with pytest.raises(BadWorkload, match="empty"):
        written(file, VIDUR + "0,5,5\n", start_s=5.0, end_s=5.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "line 1: num_prefill_tokens: missing"),
        ("num_prefill_tokens,num_decode_tokens\n", "no lengths"),
        ("num_prefill_tokens,num_decode_tokens\n5,0\n", "line 2: num_decode_tokens: '0'"),
        ("num_prefill_tokens,num_decode_tokens,x\n5,5\n", "line 2: x: missing"),
    ],
)
def test_lengths_of_a_file_that_are_malformed(file: Path, text: str, said: str) -> None:
    file.write_text(text)
    with pytest.raises(BadWorkload) as refused:
        read_pairs(file)
    assert said in str(refused.value)


def test_the_azure_conversations_are_read_in_half_a_second() -> None:
    path = data_file("azure_2023_conv.csv")
    best_s = inf
    for _ in range(3):
        begun_s = perf_counter()
        trace = read_trace(path)
        best_s = min(best_s, perf_counter() - begun_s)
    assert best_s < 0.5
    assert len(trace.requests) == 19_366
    assert trace.left_out == 0
    assert trace.rate == pytest.approx(5.53, abs=0.01)
