"""From a conversation to the prompt that the model's chat template makes of it.

Owns the process in which the template runs (see `template_process.py`), and starts another when one has
ended, whatever it ended by. What messages may hold is for the template to say, and for the door before it.
"""

import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from headway.text import template_process
from headway.text.template_process import cpu_s, receive, send
from headway.text.tokenizer import Tokenizer

usual_answer_s = 20.0  # on a machine that is busy the process waits for its share of `cpu_s`
_no_template = (
    "{{ raise_exception('this model has no chat template: use completions, or --chat-template FILE') }}"
)


class TemplateError(Exception):
    """The template refuses this conversation, is broken, or takes too much; the message says which."""


class TemplateStuck(TemplateError):
    """The template's process does not answer, through no fault of the conversation."""


class _Died(Exception):
    """The process has ended, and not by the limit on its time."""


class ChatTemplate:
    """A compiled template. Threads may share it: renderings take turns."""

    def __init__(
        self,
        source: str,
        named_tokens: Mapping[str, str],
        now: Callable[[], datetime] = datetime.now,
        *,
        answer_s: float = usual_answer_s,
    ) -> None:
        """`now` dates prompts whose template asks for the day. Raises TemplateError if it is broken."""
        self._source = source
        self._named_tokens = dict(named_tokens)
        self._now = now
        self._turn = threading.Lock()
        self._answer_s = answer_s
        self._process: _Process | None = None
        self._ask(None)

    @classmethod
    def of(cls, tokenizer: Tokenizer, file: str | None = None) -> Self:
        """The template in `file`, else the model's own, else one that refuses all conversations and says why.

        Raises TemplateError.
        """
        source = tokenizer.chat_template or _no_template
        if file is not None:
            try:
                source = Path(file).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise TemplateError(f"chat template {file}: {error}") from error
        return cls(source, tokenizer.named_tokens)

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
    ) -> str:
        """The text, the model's special tokens written out in it. Raises TemplateError, TemplateStuck."""
        variables = {
            **self._named_tokens,
            "messages": messages,
            "tools": tools,
            "documents": None,
            "add_generation_prompt": add_generation_prompt,
        }
        with self._turn:
            return self._ask({"variables": variables, "now": self._now().isoformat()})

    def _ask(self, message: Mapping[str, Any] | None) -> str:
        """The answer of a process that is there; None asks it nothing.

        One that is found dead may have been killed long before: another is asked, once.
        """
        for _ in range(2):
            try:
                if self._process is None or self._process.has_ended():
                    self._process = _Process(self._source, self._answer_s)
                return "" if message is None else self._process.ask(message)
            except _Died:
                continue
        raise TemplateError("the chat template's process dies of this conversation")


class _Process:
    """One run of template_process.py, and the socket to it. It ends with its owner."""

    def __init__(self, source: str, answer_s: float) -> None:
        self._answer_s = answer_s
        self._socket, theirs = socket.socketpair()
        self._socket.settimeout(answer_s)
        with theirs:
            # -P and the path: nothing of ours is imported there. Its own session: Ctrl-C is for us alone.
            command = [sys.executable, "-P", template_process.__file__]
            self._child = subprocess.Popen(command, stdin=theirs.fileno(), start_new_session=True)
        self._end = weakref.finalize(self, _end, self._socket, self._child)
        self.ask({"source": source})

    def has_ended(self) -> bool:
        return not self._end.alive

    def ask(self, message: Mapping[str, Any]) -> str:
        """The text of the answer. Raises TemplateError, TemplateStuck and _Died; after these two, and when it
        took too much time, the process has ended."""
        try:
            send(self._socket, message)
            answer = receive(self._socket)
        except (TypeError, ValueError, RecursionError) as error:  # not sent: the messages are no JSON
            raise TemplateError(str(error)) from error
        except TimeoutError:
            self._end()
            raise TemplateStuck(
                f"the chat template's process gave no answer within {self._answer_s:g} s"
            ) from None
        except OSError:  # gone
            answer = None
        if answer is None:
            self._end()
            if self._child.returncode == -signal.SIGXCPU:
                raise TemplateError(f"the chat template takes more than {cpu_s} seconds")
            raise _Died
        if "error" in answer:
            raise TemplateError(answer["error"])
        return str(answer["text"])


def _end(connection: socket.socket, child: "subprocess.Popen[bytes]") -> None:
    connection.close()
    child.kill()
    child.wait()
