"""Service classes as people write them: what is read, and what a mistake is told."""

from pathlib import Path

import pytest

from headway.classes import class_keys, leading_to, read_classes, tier_words
from headway.config import OPTIONS, ConfigError, Settings
from headway.config_sources import load_settings
from headway.core.slo import BUILT_IN, Overload, ServiceClass


def test_without_a_word_there_are_the_built_in_classes() -> None:
    assert read_classes(None) == BUILT_IN == Settings().service_classes


def test_a_class_of_ones_own_has_every_key() -> None:
    text = "gold:ttft=200ms,itl=40ms,deadline=5s,max-wait=2s,weight=4,level=1,on-overload=downgrade:chat"
    assert read_classes(text)["gold"] == ServiceClass(
        name="gold",
        ttft_p95_s=0.2,
        itl_p95_s=0.04,
        deadline_s=5.0,
        max_wait_s=2.0,
        weight=4.0,
        level=1,
        on_overload=Overload.DOWNGRADE,
        downgrade_to="chat",
    )
    assert all(key in text for key in class_keys)


def test_a_built_in_class_keeps_what_is_not_named() -> None:
    chat = read_classes("chat:itl=50ms,on-overload=refuse")["chat"]
    assert (chat.ttft_p95_s, chat.itl_p95_s, chat.on_overload) == (0.3, 0.05, Overload.REFUSE)


def test_a_new_class_that_promises_nothing_stands_behind_those_that_do() -> None:
    classes = read_classes("bulk:weight=2;gold:ttft=1s;odd:weight=2,level=3;chat:ttft=none,itl=none")
    levels = {name: classes[name].level for name in ("bulk", "gold", "odd", "chat")}
    assert levels == {"bulk": 10, "gold": 0, "odd": 3, "chat": 0}


def test_a_promise_can_be_taken_back() -> None:
    assert read_classes("chat:ttft=none")["chat"].targets == (None, 0.1, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gold:ttfb=2s", "gold: 'ttfb=2s' is no KEY=VALUE that is known; did you mean ttft?"),
        ("gold:speed=2", f"the keys are {', '.join(class_keys)}"),
        ("gold", "'gold' has no keys; write it as NAME:KEY=VALUE"),
        ("gold:", "gold: '' is no KEY=VALUE"),
        ("Gold:itl=1s", "'Gold' is no name; one has 1 to 32 of a-z"),
        ("fast:itl=1s", "fast is a word of OpenAI's service_tier; give the class another name"),
        ("gold:ttft=0.5ms", "gold: ttft is 0.5ms; it must be from 1ms to 86400s, or none"),
        ("gold:ttft=nan", "gold: ttft is nan; it must be from 1ms"),
        ("gold:itl=soon", "gold: itl is 'soon'; it must be a time such as 200ms or 2s, or none"),
        ("gold:level=100", "gold: level is 100; it must be from 0 to 99"),
        ("gold:level=high", "gold: level is 'high'; it must be a whole number from 0 to 99"),
        ("gold:weight=0", "gold: weight is 0.0; it must be above 0"),
        ("gold:itl=1s,itl=2s", "gold: itl is given twice"),
        ("gold:itl=1s;gold:ttft=2s", "gold: it is given twice; give all its keys at once"),
        (
            "gold:on-overload=drop",
            "gold: on-overload is 'drop'; it must be accept, refuse or downgrade:OTHER",
        ),
        ("chat:on-overload=downgrade:lead", "'lead', no class; there are interactive, batch"),
        ("chat:on-overload=downgrade:chat", "chat cannot be downgraded to itself"),
        (
            "chat:on-overload=downgrade:batch;batch:on-overload=downgrade:chat",
            "downgrades go in a circle, chat to batch to chat; let one of them accept or refuse",
        ),
        (";".join(f"c{i}:itl=1s" for i in range(30)), "33 classes are over the limit of 32"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_would_work(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_settings({"classes": text.split(";")}, {})
    assert str(refused.value).startswith("--class ")
    assert message in str(refused.value)
    assert str(refused.value).isprintable()


def test_no_word_of_a_tier_is_a_class() -> None:
    assert not set(tier_words) & set(BUILT_IN)


@pytest.mark.parametrize(
    "text",
    [
        "class: gold:ttft=200ms,weight=4;chat:itl=50ms",
        "class: ['gold:ttft=200ms,weight=4', 'chat:itl=50ms']",
        "class:\n  gold: ttft=200ms,weight=4\n  chat: itl=50ms",
        "class:\n  gold: {ttft: 200ms, weight: 4}\n  chat:\n    itl: 50ms",
    ],
)
def test_a_file_may_list_classes_or_map_them(tmp_path: Path, text: str) -> None:
    file = tmp_path / "headway.yaml"
    file.write_text(text)
    by_flags = load_settings({"classes": ["gold:ttft=200ms,weight=4", "chat:itl=50ms"]}, {})
    assert load_settings({}, {}, file) == by_flags
    assert load_settings({}, {"HEADWAY_CLASS": "gold:ttft=200ms,weight=4;chat:itl=50ms"}) == by_flags


@pytest.mark.parametrize("text", ["class: [[a]]", "class:\n  gold: [a]", "class:\n  gold:\n    ttft: [1]"])
def test_a_file_that_nests_too_deeply_is_refused_by_its_line(tmp_path: Path, text: str) -> None:
    file = tmp_path / "headway.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match="line 1: class is not a text"):
        load_settings({}, {}, file)
    file.write_text("alias: {fast: {ttft: chat}}")
    with pytest.raises(ConfigError, match="line 1: alias is not a text"):
        load_settings({}, {}, file)


def test_a_flag_given_no_time_hides_no_file() -> None:
    assert load_settings({"classes": []}, {"HEADWAY_CLASS": "gold:itl=1s"}).classes == "gold:itl=1s"


def test_the_default_class_must_exist() -> None:
    with pytest.raises(
        ConfigError, match="--default-class gold is no class; there are chat, interactive, batch"
    ):
        Settings(default_class="gold")
    assert Settings(default_class="gold", classes="gold:itl=1s").default_class == "gold"


def test_names_lead_to_classes_and_may_have_an_equals_sign() -> None:
    text = " nightly = batch;; c2VjcmV0==chat"
    assert leading_to(BUILT_IN, text, secret=False) == {"nightly": "batch", "c2VjcmV0=": "chat"}
    assert leading_to(BUILT_IN, None, secret=False) == {}


@pytest.mark.parametrize("written", ["fast", "fast=", "=chat", "fast=gold", "fast=chat=", "="])
def test_what_leads_to_no_class_is_told_the_classes(written: str) -> None:
    for name, option in (
        ("aliases", f"--alias {written!r} is not a name"),
        ("class_keys", "--class-key number 2"),
    ):
        with pytest.raises(ConfigError, match="= and a class; there are chat, interactive, batch") as refused:
            Settings(**{name: f"a=chat;{written}"})
        assert str(refused.value).startswith(option)


def test_a_name_that_leads_to_two_classes_is_refused() -> None:
    with pytest.raises(ConfigError, match="--alias 'a=batch': that name is given twice"):
        Settings(aliases="a=chat;a=batch")
    with pytest.raises(ConfigError, match="--class-key number 2: that key is given twice"):
        Settings(class_keys="a=chat;a=chat")


@pytest.mark.parametrize("own", [{"model": "a"}, {"served_model_name": "a"}])
def test_the_models_own_name_is_no_alias(own: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="--alias a is the model's own name"):
        Settings(**own, aliases="a=chat")


@pytest.mark.parametrize("value", ["a=chat;b=gold", "[a=chat, b=gold]", "{a: chat, b: gold}"])
@pytest.mark.parametrize("name", ["aliases", "class_keys"])
def test_what_leads_to_classes_reads_alike_from_flags_variable_and_file(
    tmp_path: Path, name: str, value: str
) -> None:
    option, gold = OPTIONS[name], {"HEADWAY_CLASS": "gold:itl=1s"}
    file = tmp_path / "headway.yaml"
    file.write_text(f"{option.key}: {value}")
    by_flags = load_settings({name: ["a=chat", "b=gold"]}, gold)
    assert load_settings({}, gold, file) == by_flags
    assert load_settings({}, {option.variable: "a=chat;b=gold", **gold}) == by_flags
    assert {"a": "chat", "b": "gold"} in (by_flags.classes_by_alias, by_flags.classes_by_key)
