"""The process in which a chat template runs: jinja's immutable sandbox, little memory and time, no files.

A template comes with a model, from whoever made it. The sandbox keeps it from Python's insides, but not from
a loop in a loop in a loop, a string times 10^12, or a list that holds itself twice, sixty times over. Some of
these spend themselves in C, where no check of ours runs; the kernel's limits hold for all.

Run as a script by `chat_template.py`, with a socket as standard input. Imports nothing of ours.
"""

import json
import resource
import socket
import struct
import time
from collections.abc import Iterator
from datetime import datetime
from importlib import import_module
from typing import Any, NoReturn

from jinja2 import Template, TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

cpu_s = 3  # for one rendering
memory_bytes = 1 << 29  # address space, the interpreter included
rendered_characters = 1 << 25
# jinja imports these in mid-work, when no file can be opened any more
_needed_later = ("encodings.unicode_escape", "jinja2.constants", "jinja2.debug", "pprint", "textwrap")
_length = struct.Struct("<Q")
_its_own_faults = (
    TemplateError,
    TypeError,
    ValueError,
    ArithmeticError,
    LookupError,
    AttributeError,
    AssertionError,
)


class RefusedError(Exception):
    """Why a template gives no text."""


def send(connection: socket.socket, message: Any) -> None:
    body = json.dumps(message).encode()
    connection.sendall(_length.pack(len(body)) + body)


def receive(connection: socket.socket) -> Any:
    """The next message; None when the other side is gone."""
    head = _exactly(connection, _length.size)
    body = None if head is None else _exactly(connection, _length.unpack(head)[0])
    return None if body is None else json.loads(body)


def render(template: Template, variables: dict[str, Any], now: str) -> str:
    """The whole text, or RefusedError when it grows too long. `now` is an ISO date and time."""
    pieces: list[str] = []
    size = 0
    moment = datetime.fromisoformat(now)
    for piece in template.generate(variables, strftime_now=moment.strftime):
        pieces.append(piece)
        size += len(piece)
        if size > rendered_characters:
            raise RefusedError(f"the chat template renders more than {rendered_characters:,} characters")
    return "".join(pieces)


def environment() -> ImmutableSandboxedEnvironment:
    """What templates are written for: transformers' settings, filters and functions."""
    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _Generation]
    )
    made.filters["tojson"] = _tojson
    made.globals.update(raise_exception=_raise, dict=_dict, namespace=_Namespace)
    return made


class _Generation(Extension):
    """`{% generation %}` marks what the model said, for training; its body is rendered as it stands."""

    tags = {"generation"}  # noqa: RUF012 - as jinja declares it

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


class _Namespace(Namespace):
    """Jinja's, less the names by which a template could reach Python's insides."""

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__()
        for name, value in dict(*args, **values).items():
            self[name] = value

    def __setitem__(self, name: str, value: Any) -> None:
        if str(name).startswith("_"):
            raise SecurityError(f"a namespace may not hold {name!r}")
        super().__setitem__(name, value)


def _dict(*args: Any, **values: Any) -> dict[Any, Any]:
    """`dict` without its attributes."""
    return dict(*args, **values)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Plain JSON, where jinja's own filter would make it safe for HTML."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise(message: str) -> NoReturn:
    raise TemplateError(message)


def _exactly(connection: socket.socket, size: int) -> bytes | None:
    """So many bytes, or None when the other side is gone before."""
    received = bytearray()
    while len(received) < size:
        chunk = connection.recv(min(size - len(received), 1 << 20))
        if not chunk:
            return None
        received += chunk
    return bytes(received)


def _answers(connection: socket.socket) -> Iterator[dict[str, str]]:
    """First the template is compiled, then renderings follow as they are asked for."""
    template: Template | None = None
    while (asked := receive(connection)) is not None:
        _allow_cpu(cpu_s)
        try:
            if template is None:
                template = environment().from_string(asked["source"])
                yield {"text": ""}
            else:
                yield {"text": render(template, asked["variables"], asked["now"])}
        except MemoryError:
            yield {"error": f"the chat template needs more than {memory_bytes >> 20} MiB"}
        except RecursionError:
            yield {"error": "the chat template calls itself without end"}
        except RefusedError as error:
            yield {"error": str(error)}
        except _its_own_faults as error:
            stated = type(error) is TemplateError  # by raise_exception
            yield {"error": str(error) if stated else f"chat template: {type(error).__name__}: {error}"}


def _allow_cpu(seconds: int) -> None:
    """The kernel ends this process when it has used so much more; that stops what runs in C, too."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + seconds, hard))


def _limit_for_good() -> None:
    """Memory; no further file or socket, which also keeps other programs from being loaded; no core file."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    connection = socket.socket(fileno=0)
    for name in _needed_later:
        import_module(name)
    _limit_for_good()
    for answer in _answers(connection):
        send(connection, answer)


if __name__ == "__main__":
    main()
