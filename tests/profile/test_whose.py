"""Which profile an engine begins with: the one that is named, the one in its usual place, or none."""

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from headway.profile.file import BadProfile, Machine, Model, write_profile
from headway.profile.whose import find_profile, kept_profiles, this_machine, this_model, usual_place
from headway.spec.model import ModelSpec, Rope
from tests.profile.made_up import made_up

model, machine = made_up().model, made_up().machine
other_model = Model("large", {**model.dimensions, "layers": 3}, 99)
other_machine = Machine("Another processor", 2, 2, "native v4")

spec = ModelSpec(
    family="mistral", layers=2, hidden=8, heads=4, kv_heads=2, head_dim=4, ffn=16, vocab=100,
    max_positions=64, norm_eps=1e-5, ropes=(Rope(1e4),) * 2, windows=(None,) * 2, attention_scale=0.5,
    tied=True,
)  # fmt: skip


def test_none_is_begun_with_where_none_was_made(tmp_path: Path) -> None:
    found = find_profile(None, model, machine, tmp_path)
    assert found.calibration is None
    assert "headway calibrate" in found.words


def test_the_one_in_its_usual_place_is_found(tmp_path: Path) -> None:
    path = usual_place(model, machine, tmp_path)
    write_profile(made_up(), path)
    found = find_profile(None, model, machine, tmp_path)
    assert found.calibration == made_up()
    assert str(path) in found.words


def test_no_profile_may_be_asked_for(tmp_path: Path) -> None:
    write_profile(made_up(), usual_place(model, machine, tmp_path))
    assert find_profile("none", model, machine, tmp_path).calibration is None


def test_the_one_in_its_usual_place_never_stops_an_engine(tmp_path: Path) -> None:
    path = usual_place(model, machine, tmp_path)
    path.parent.mkdir()
    path.write_text("{")
    found = find_profile(None, model, machine, tmp_path)
    assert found.calibration is None
    assert f"{path}: not JSON" in found.words
    write_profile(msgspec.structs.replace(made_up(), model=other_model), path)
    found = find_profile(None, model, machine, tmp_path)
    assert found.calibration is None
    assert "layers 3 instead of 2" in found.words


def test_one_that_is_named_must_be_there_and_of_this_model(tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    with pytest.raises(BadProfile, match=r"profile.json: No such file"):
        find_profile(str(path), model, machine, tmp_path)
    write_profile(made_up(), path)
    with pytest.raises(BadProfile, match="of another model: layers 2 instead of 3"):
        find_profile(str(path), other_model, machine, tmp_path)


def test_one_of_another_machine_serves_as_a_start_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    write_profile(made_up(), path)
    found = find_profile(str(path), model, other_machine, tmp_path)
    assert found.calibration is not None
    assert "made elsewhere: cpu 'A processor' instead of 'Another processor'" in found.words


def test_places_of_two_models_two_machines_two_numbers_of_threads_differ(tmp_path: Path) -> None:
    machines = (machine, other_machine, Machine(machine.cpu, 2, 1, machine.kernels))
    places = {usual_place(m, on, tmp_path) for m in (model, other_model) for on in machines}
    assert len(places) == 6
    assert all(place.parent == tmp_path / "profiles" for place in places)


def test_a_model_s_name_is_nothing_to_go_by(tmp_path: Path) -> None:
    named, renamed = this_model(spec, "a"), this_model(spec, "/somewhere/b")
    assert usual_place(named, machine, tmp_path) == usual_place(renamed, machine, tmp_path)
    windowed = this_model(replace(spec, windows=(16, None)), "a")
    assert usual_place(windowed, machine, tmp_path) != usual_place(named, machine, tmp_path)


def test_this_machine_s_processor_has_its_name(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nmodel name\t: Fast & Co\n")
    assert this_machine(4, "plain", info).cpu == "Fast & Co"
    assert this_machine(4, "plain", tmp_path / "absent").cpu


def test_of_those_that_are_kept_only_this_model_s_of_this_machine_are_its_own(tmp_path: Path) -> None:
    here = msgspec.structs.replace(made_up(), machine=this_machine(1, "plain"))
    own = usual_place(here.model, here.machine, tmp_path)
    write_profile(here, own)
    write_profile(msgspec.structs.replace(here, model=other_model), tmp_path / "profiles" / "model.json")
    write_profile(made_up(), tmp_path / "profiles" / "machine.json")
    (tmp_path / "profiles" / "old.json").write_text('{"version": 1}')
    assert kept_profiles(model, tmp_path) == {own: here}
    assert kept_profiles(model, tmp_path / "absent") == {}
