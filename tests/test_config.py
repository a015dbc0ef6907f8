"""Settings: precedence, bounds, the rules between them, and errors that say where the mistake is."""

from pathlib import Path
from typing import Any

import pytest

from headway.config import ALLOCATION_NAMES, OPTIONS, POLICY_NAMES, ConfigError, Settings
from headway.config_sources import load_settings
from headway.core.memory import MEMORY_RULES
from headway.core.policies import POLICIES


def file_with(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "headway.yaml"
    path.write_text(text)
    return path


def test_a_flag_beats_a_variable_beats_the_file_beats_the_default(tmp_path: Path) -> None:
    file = file_with(tmp_path, "port: 1\nmax-queue: 1\nmax-num-seqs: 1\n")
    variables = {"HEADWAY_PORT": "2", "HEADWAY_MAX_QUEUE": "2"}
    settings = load_settings({"port": "3"}, variables, file)
    assert (settings.port, settings.max_queue, settings.max_num_seqs) == (3, 2, 1)
    assert settings.block_size == Settings().block_size


def test_a_flag_that_is_not_given_hides_nothing() -> None:
    assert load_settings({"port": None}, {"HEADWAY_PORT": "2"}).port == 2


def test_the_file_may_be_named_by_a_variable(tmp_path: Path) -> None:
    file = file_with(tmp_path, "port: 7\n")
    assert load_settings({}, {"HEADWAY_CONFIG": str(file)}).port == 7


def test_variables_of_other_programs_are_left_alone() -> None:
    assert load_settings({}, {"PATH": "/bin", "HEADWAY_CACHE": "/tmp", "VLLM_PORT": "x"}) == Settings()


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("max_num_seqs", "8", 8),
        ("kv_cache_memory", "2GiB", 2 << 30),
        ("kv_cache_memory", "1.5 GiB", 3 << 29),
        ("kv_cache_memory", "500MB", 500_000_000),
        ("kv_cache_memory", "4096", 4096),
        ("shutdown_timeout", "2s", 2.0),
        ("shutdown_timeout", "50ms", 0.05),
        ("shutdown_timeout", "0", 0.0),
        ("prefix_caching", "false", False),
        ("prefix_caching", "On", True),
        ("policy", "static", "static"),
    ],
)
def test_a_value_reads_alike_from_flag_variable_and_file(
    tmp_path: Path, name: str, text: str, value: object
) -> None:
    option = OPTIONS[name]
    file = file_with(tmp_path, f"{name.replace('_', '-')}: {text}\n")
    sources = (({name: text}, {}, None), ({}, {option.variable: text}, None), ({}, {}, file))
    assert [getattr(load_settings(*source), name) for source in sources] == [value] * 3


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("port", "65536"), ("port", "-1"), ("port", "8000.5"), ("port", ""), ("port", "9" * 5000),
        ("max_num_seqs", "0"), ("max_num_seqs", "1e308"), ("max_num_seqs", "true"),
        ("block_size", "257"), ("shutdown_timeout", "nan"), ("shutdown_timeout", "inf"),
        ("shutdown_timeout", "-1"),
        ("kv_cache_memory", "0"), ("kv_cache_memory", "2 gigs"), ("kv_cache_memory", "-1GiB"),
        ("policy", "fifo"), ("prefix_caching", "perhaps"), ("host", "a\nb"), ("model", ""), ("seed", "-1"),
    ],
)  # fmt: skip
def test_a_value_out_of_bounds_is_refused_with_its_flag_and_bounds(name: str, text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_settings({name: text}, {})
    message = str(refused.value)
    assert message.startswith(f"{OPTIONS[name].flag}: ")
    assert message.isprintable()
    assert OPTIONS[name].kind.words in message


def test_a_value_out_of_bounds_is_refused_in_the_library_too() -> None:
    with pytest.raises(ConfigError, match="--port is 70000, which is not a whole number from 0 to 65,535"):
        Settings(port=70_000)


@pytest.mark.parametrize("broken", [{"max_num_seqs": True}, {"kernels": None}, {"prefix_caching": 1}])
def test_true_is_no_number_one_is_no_switch_and_none_no_value(broken: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Settings(**broken)


def test_more_sequences_than_tokens_of_a_step_are_refused_with_the_value_that_would_work() -> None:
    with pytest.raises(ConfigError, match="set --max-num-batched-tokens 300 or --max-num-seqs 256"):
        Settings(max_num_seqs=300)
    assert Settings(max_num_seqs=256).max_num_batched_tokens == 256


def test_waiting_for_a_batch_needs_the_policy_that_waits() -> None:
    with pytest.raises(ConfigError, match=r"--batch-wait 0\.5 needs --policy static"):
        Settings(batch_wait=0.5)
    assert Settings(batch_wait=0.5, policy="static").batch_wait == 0.5


def test_a_misspelt_variable_is_refused_with_the_nearest_right_one() -> None:
    with pytest.raises(
        ConfigError, match="HEADWAY_MAX_SEQS is not a setting; did you mean HEADWAY_MAX_NUM_SEQS"
    ):
        load_settings({}, {"HEADWAY_MAX_SEQS": "3"})


def test_a_misspelt_choice_is_refused_with_the_nearest_right_one() -> None:
    with pytest.raises(ConfigError, match="did you mean stall-free"):
        load_settings({"policy": "stalfree"}, {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "port: 1\nmax-num-sequences: 2\n",
            "line 2: max-num-sequences is not a setting; did you mean max-num-seqs?",
        ),
        ("port: 1\nport: 2\n", "line 2: port is already set in line 1"),
        ("host: x\nport: many\n", "line 2: port: 'many' is not a whole number from 0 to 65,535"),
        ("port: [1]\n", "line 1: port is not a whole number from 0 to 65,535"),
        ("? [a, b]\n: 1\n", "line 1: a key must be the name of a setting"),
        ("- port\n", "line 1: not a mapping of settings to values"),
        ("port: 1\nhost: 'x\n", "line 3: not YAML"),
        ("port: !!python/object/apply:os.getpid []\n", "line 1: port is not a whole number"),
        ("[" * 5000, "not YAML"),
        ("a" * (1 << 20) + "bc", "larger than 1,048,576 bytes"),
    ],
)
def test_a_broken_file_is_refused_by_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    file = file_with(tmp_path, text)
    with pytest.raises(ConfigError) as refused:
        load_settings({}, {}, file)
    assert str(refused.value).startswith(str(file))
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_settings({}, {}, tmp_path / "absent.yaml")


def test_an_empty_file_and_an_empty_value_leave_the_defaults(tmp_path: Path) -> None:
    assert load_settings({}, {}, file_with(tmp_path, "# nothing yet\n")) == Settings()
    assert load_settings({}, {}, file_with(tmp_path, "port:\n")) == Settings()


def test_the_key_is_shown_nowhere() -> None:
    for name in ("api_key", "tightening_key", "admin_key"):
        assert "geheim" not in repr(Settings(**{name: "geheim"}))
    assert "geheim" not in repr(Settings(class_keys="geheim=chat"))
    for name, text in (
        ("api_key", "geheim\n\x00"),
        ("class_keys", "geheim\x00=chat"),
        ("class_keys", "geheim"),
        ("class_keys", "a=geheim"),
        ("class_keys", "geheim=chat;geheim=batch"),
    ):
        with pytest.raises(ConfigError) as refused:
            load_settings({name: text}, {})
        assert "geheim" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("api_key", "geheim"), ("tightening_key", "geheim"), ("class_keys", "a=chat;geheim=chat")],
)
def test_the_admin_key_is_nobody_elses(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match="--admin-key is the same as --") as refused:
        Settings(**{"admin_key": "geheim", name: value})
    assert "geheim" not in str(refused.value)
    assert Settings(api_key="a", tightening_key="a", class_keys="a=chat", admin_key="b")


def test_the_names_of_policies_and_memory_rules_are_the_cores() -> None:
    assert set(POLICY_NAMES) == set(POLICIES)
    assert set(ALLOCATION_NAMES) == set(MEMORY_RULES)
