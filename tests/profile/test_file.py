"""A profile's file: what is written is read; what is wrong is one line that names file and field."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headway.profile.file import BadProfile, read_profile, write_profile
from tests.profile.made_up import FACTORS, made_up

Change = Callable[[Any], object]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "profile.json"
    write_profile(made_up(), path)
    assert read_profile(path) == made_up()
    assert [each.name for each in path.parent.iterdir()] == ["profile.json"]


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadProfile, match=r"file/profile\.json: "):
        write_profile(made_up(), tmp_path / "file" / "profile.json")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadProfile, match=r"absent.json: No such file"):
        read_profile(tmp_path / "absent.json")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe{}", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "version: missing"),
        (b"{}", "version: missing"),
        (b'{"version": "1"}', "version: missing"),
        (b'{"version": 99}', "version: it is 99, and this Headway reads 2"),
        (b'{"version": 2}', "missing required field `made`"),
        (b" " * (5 << 20), "larger than"),
    ],
)
def test_what_is_no_profile_is_told(tmp_path: Path, text: bytes, said: str) -> None:
    path = tmp_path / "profile.json"
    path.write_bytes(text)
    with pytest.raises(BadProfile, match=said) as caught:
        read_profile(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def put(value: object, *keys: str | int) -> Change:
    def change(found: Any) -> None:
        for key in keys[:-1]:
            found = found[key]
        found[keys[-1]] = value

    return change


def drop(*keys: str) -> Change:
    def change(found: Any) -> None:
        for key in keys[:-1]:
            found = found[key]
        del found[keys[-1]]

    return change


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (put("fast", "host", "step_s"), "host.step_s: Expected `float`"),
        (put(-1.0, "host", "step_s"), "host.step_s: Expected `float` >= 0"),
        (put(None, "peaks", "flop_s"), "peaks.flop_s: "),
        (put(0.0, "peaks", "flop_s"), "peaks.flop_s: "),
        (put(True, "peaks", "flop_s"), "peaks.flop_s: "),
        (put(0, "machine", "cores"), "machine.cores: "),
        (put(2.5, "machine", "cores"), "machine.cores: "),
        (put("", "machine", "cpu"), "machine.cpu: "),
        (put([1], "model", "dimensions", "layers"), "model.dimensions"),
        (drop("model", "dimensions"), "model: Object missing required field `dimensions`"),
        (drop("forecast", "base_s"), "forecast: Object missing required field `base_s`"),
        (put(1, "forecast", "more"), "forecast: Object contains unknown field `more`"),
        (put([4, 4], "forecast", "knots"), "forecast.knots: they have to rise"),
        (put([1.0], "forecast", "token_s"), "forecast.token_s: as many"),
        (put(0.0, "forecast", "token_s", 1), "forecast.token_s[1]: Expected `float` > 0"),
        (put([1, 2], "cost", "token_knots"), "cost.token_knots: other knots"),
        (put([1.0], "cost", "factors", 1), "cost.factors: as many"),
        (put(-1.0, "cost", "factors", 0), "cost.factors: seconds below 0"),
        (put(0.0, "cost", "factors", 0), "cost.factors: a step has to take some time"),
        (put([], "cost", "noise"), "cost.noise: quantiles have to rise"),
        (put([1.1, 0.9], "cost", "noise"), "cost.noise: quantiles have to rise"),
        (put([0, 1, 1, True], "steps", 0, "groups", 0), "steps[0].groups[0][0]"),
        (put([1, 1], "steps", 0, "groups", 0), "steps[0].groups[0]"),
        (put(0, "steps", 0, "seconds"), "steps[0].seconds"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, change: Change, field: str) -> None:
    path = tmp_path / "profile.json"
    found = json.loads(msgspec.json.encode(made_up()))
    change(found)
    path.write_text(json.dumps(found))
    with pytest.raises(BadProfile, match=re.escape(field)) as caught:
        read_profile(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_the_forecast_s_profile_is_the_core_s() -> None:
    profile = made_up().forecast.as_profile()
    assert (profile.knots, profile.base_s, profile.pair_s) == ((4, 16), 0.01, 1e-7)


def test_factors_are_written_in_full(tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    write_profile(made_up(), path)
    assert read_profile(path).cost.factors == FACTORS
