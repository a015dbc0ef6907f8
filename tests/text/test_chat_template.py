"""Prompts equal to those of transformers, from templates that may be hostile."""

import os
import resource
import signal
import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast
from transformers.utils.chat_template_utils import render_jinja_template

from headway.text import template_process
from headway.text.chat_template import ChatTemplate, TemplateError, TemplateStuck
from headway.text.tokenizer import Tokenizer, load_tokenizer
from tests.text import trained

named = {"bos_token": "<s>", "eos_token": "</s>"}
system = {"role": "system", "content": "  Be brief.  "}
hello = {"role": "user", "content": "Hello <b>\"you\"</b> & 'me' 日本 😀\n"}
answer = {"role": "assistant", "content": "Hi."}
bye = {"role": "user", "content": "Bye."}
conversations = [[hello], [system, hello], [hello, answer, bye], [system, hello, answer, bye]]
tool = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}

headers = """
{{- bos_token }}
{%- if tools is defined and tools %}
    {{- "<|head|>tools<|/head|>\n\n" }}
    {%- for tool in tools %}
        {{- tool | tojson(indent=4) + "\n\n" }}
    {%- endfor %}
{%- endif %}
{%- for message in messages %}
    {{- '<|head|>' + message['role'] + '<|/head|>\n\n' + message['content'] | trim + '<|end|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|head|>assistant<|/head|>\n\n' }}
{%- endif %}
"""
turns = """{{ bos_token }}{% if messages[0]['role'] == 'system' %}
{% set first = messages[0]['content'] + '\n\n' %}
{% set rest = messages[1:] %}{% else %}{% set first = '' %}{% set rest = messages %}{% endif %}
{% for message in rest %}
    {% if (message.role == 'user') != (loop.index0 % 2 == 0) %}
        {{ raise_exception('roles must alternate: user, assistant, user and so on') }}
    {% endif %}
    {% set role = 'model' if message.role == 'assistant' else message.role %}
<turn>{{ role + '\n' + (first if loop.first else '') + message.content.strip() }}</turn>
{% endfor %}
{% if add_generation_prompt %}{{ '<turn>model\n' }}{% endif %}
"""
thinking = """{%- set ns = namespace(last=-1) %}
{%- for message in messages[::-1] %}
    {%- if ns.last < 0 and message.role == 'user' %}
        {%- set ns.last = messages|length - loop.index %}
    {%- endif %}
{%- endfor %}
{%- macro say(role, text) %}{{ '<|' ~ role ~ '|>' ~ text ~ '<|/|>' }}{%- endmacro %}
{%- for message in messages %}
    {%- if message.role == 'assistant' %}
        {% generation %}{{ say(message.role, message.content) }}{% endgeneration %}
    {%- elif loop.index0 == ns.last %}{{ say('last', message.content | tojson) }}
    {%- else %}{{ say(message.role, message.content) }}{%- endif %}
{%- endfor %}
{%- if tools %}{{ tools | map(attribute='function') | list | tojson }}{% endif %}
"""
instructions = """{{ bos_token }}{% for message in messages %}
{% if message['role'] == 'system' %}{% continue %}{% endif %}
{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}
{% elif message['role'] == 'assistant' %}{{ ' ' + message['content'] + eos_token }}
{% else %}{{ raise_exception('only user and assistant roles are supported') }}{% endif %}
{% if loop.index > 100 %}{% break %}{% endif %}{% endfor %}"""
styles = {"headers": headers, "turns": turns, "thinking": thinking, "instructions": instructions}


@pytest.mark.parametrize("style", styles)
@pytest.mark.parametrize("tools", [None, [tool]], ids=["plain", "tools"])
@pytest.mark.parametrize("add_generation_prompt", [True, False])
def test_the_usual_styles_render_as_in_transformers(
    style: str, tools: list[dict[str, Any]] | None, add_generation_prompt: bool
) -> None:
    template = ChatTemplate(styles[style], named)
    for messages in conversations:
        theirs, _ = render_jinja_template(
            [messages],
            tools=tools,
            chat_template=styles[style],
            add_generation_prompt=add_generation_prompt,
            **named,
        )
        assert template.render(messages, tools, add_generation_prompt) == theirs[0]


def test_the_embedded_models_prompts_equal_those_of_transformers(
    smollm2: Tokenizer, reference: PreTrainedTokenizerFast
) -> None:
    template = ChatTemplate.of(smollm2)
    for messages in conversations:
        theirs = reference.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        assert template.render(messages) == theirs


def test_a_template_may_refuse_a_conversation_in_its_own_words() -> None:
    with pytest.raises(TemplateError, match=r"^roles must alternate: user, assistant, user and so on$"):
        ChatTemplate(turns, named).render([hello, bye])


def test_a_template_that_asks_for_the_day_is_given_the_clocks() -> None:
    template = ChatTemplate("{{ strftime_now('%d %b %Y') }}", named, now=lambda: datetime(2026, 7, 26))
    assert template.render([hello]) == "26 Jul 2026"


def test_a_file_given_by_the_user_beats_the_models_template(smollm2: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "mine.jinja").write_text("mine: {{ messages[0].content }}")
    assert ChatTemplate.of(smollm2, str(tmp_path / "mine.jinja")).render([bye]) == "mine: Bye."


def test_a_file_that_is_not_there_is_named(smollm2: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=r"absent\.jinja"):
        ChatTemplate.of(smollm2, str(tmp_path / "absent.jinja"))


def test_a_model_without_a_template_refuses_conversations_and_says_what_to_do(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(trained.write_folder(trained.byte_level("gpt-2"), tmp_path))
    with pytest.raises(TemplateError, match=r"no chat template.*--chat-template FILE"):
        ChatTemplate.of(tokenizer).render([hello])


def test_a_template_that_does_not_parse_is_refused_at_once() -> None:
    with pytest.raises(TemplateError, match="TemplateSyntaxError"):
        ChatTemplate("{% if %}", named)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ messages.append.__self__ }}", "unsafe"),
        ("{{ cycler.__init__.__globals__ }}", "unsafe"),
        ("{{ '{0.__class__.__mro__}'.format(messages) }}", "unsafe"),
        ("{{ messages.append(1) }}", "unsafe"),
        ("{% set ns = namespace(__class__=1) %}", "may not hold"),
        ("{% include '/etc/passwd' %}", "no loader"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ messages[0].content + 1 }}", "TypeError"),
        ("{{ nothing.there }}", "UndefinedError"),
    ],
)
def test_what_a_template_may_not_do_or_does_wrong_is_an_error_with_its_reason(
    source: str, reason: str
) -> None:
    template = ChatTemplate(source, named)
    with pytest.raises(TemplateError, match=reason):
        template.render([hello])
    with pytest.raises(TemplateError, match=reason):  # the process lives on
        template.render([hello])


def processes_of_templates() -> set[int]:
    """Those that this process has started."""
    command = template_process.__file__.encode()
    started = [
        Path(f"/proc/{pid}")
        for tasks in Path("/proc/self/task").iterdir()
        for pid in (tasks / "children").read_text().split()
    ]
    return {int(folder.name) for folder in started if command in (folder / "cmdline").read_bytes()}


def test_a_template_s_process_can_open_no_file_and_no_socket() -> None:
    before = processes_of_templates()
    template = ChatTemplate("{{ messages[0].content }}", named)
    template.render([hello])
    (pid,) = processes_of_templates() - before
    assert resource.prlimit(pid, resource.RLIMIT_NOFILE) == (0, 0)


@pytest.mark.parametrize(
    "source",
    [
        "{{ messages | pprint }}",
        "{{ messages[0].content | wordwrap(3) }}",
        "{{ lipsum(n=1) }}",
        "{{ 'a' | urlize }}",
    ],
)
def test_what_jinja_has_needs_no_file(source: str) -> None:
    assert ChatTemplate(source, named).render([hello])


greedy = {
    "a string times much": "{{ 'x' * 10 ** 12 }}",
    "a string that doubles": "{% set ns = namespace(x='ab') %}{% for i in range(60) %}"
    "{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
    "a filter that pads": "{{ 'x' | center(10 ** 11) }}",
    "a long answer": "{% for i in range(100000) %}{{ 'x' * 10000 }}{% endfor %}",
    "a macro that calls itself": "{% macro f(n) %}{{ f(n) }}{{ f(n) }}{% endmacro %}{{ f(1) }}",
    "a range without end": "{% for i in range(10 ** 9) %}{% endfor %}",
}


@pytest.mark.parametrize("source", greedy.values(), ids=greedy.keys())
def test_a_template_that_asks_for_too_much_is_stopped(source: str) -> None:
    with pytest.raises(TemplateError, match=r"needs more than|renders more than|without end|Range too big"):
        ChatTemplate(source, named).render([hello])


@pytest.mark.parametrize(
    "bomb",
    [
        "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
        # in C, where no check of Python's runs
        "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}"
        "{{ ns.x == [ns.x] }}{{ ns.x | string }}",
    ],
    ids=["loops", "a list that holds itself twice"],
)
def test_a_template_that_takes_too_long_is_stopped_and_the_next_conversation_is_rendered(bomb: str) -> None:
    template = ChatTemplate(
        "{% if messages[0].content == 'Bye.' %}bye{% else %}" + bomb + "{% endif %}", named
    )
    with pytest.raises(TemplateError, match="takes more than"):
        template.render([hello])
    assert template.render([bye]) == "bye"


def started_process(before: set[int]) -> int:
    (pid,) = processes_of_templates() - before
    return pid


def test_a_process_that_was_killed_between_conversations_costs_nobody_an_answer() -> None:
    before = processes_of_templates()
    template = ChatTemplate("{{ messages[0].content }}", named)
    os.kill(started_process(before), signal.SIGKILL)
    assert template.render([bye]) == "Bye."


def test_a_process_that_stands_still_is_no_fault_of_the_conversation_and_the_next_is_rendered() -> None:
    before = processes_of_templates()
    template = ChatTemplate("{{ messages[0].content }}", named, answer_s=5)
    os.kill(started_process(before), signal.SIGSTOP)
    with pytest.raises(TemplateStuck, match="no answer within 5 s"):
        template.render([bye])
    assert template.render([bye]) == "Bye."


def test_messages_that_are_not_json_are_refused_and_the_next_are_rendered() -> None:
    template = ChatTemplate("{{ messages[0].content }}", named)
    with pytest.raises(TemplateError, match="not JSON serializable"):
        template.render([{"role": "user", "content": object()}])
    assert template.render([bye]) == "Bye."


def test_threads_may_share_a_template() -> None:
    template = ChatTemplate("{{ messages[0].content }}", named)
    found: dict[int, str] = {}

    def render(i: int) -> None:
        found[i] = template.render([{"role": "user", "content": f"message {i}"}])

    threads = [threading.Thread(target=render, args=(i,)) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {i: f"message {i}" for i in range(20)}


def test_a_long_conversation_is_rendered_whole() -> None:
    long = "😀" * 10**6
    assert (
        ChatTemplate("{{ messages[0].content }}", named).render([{"role": "user", "content": long}]) == long
    )
