"""The engine process, from its first line to its exit code.

Owns how it finds its parent and how it ends with it. What an engine is made of, its caller knows. The first
line on stdin says where the parent listens, with a secret that proves who is calling; then stdin is silent
until the parent ends.
"""

import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from threading import Thread
from typing import NamedTuple

import msgspec

from headway.core.ports import ExecutorDied, Inbox, Sink
from headway.server.engine_end import Bridge, SocketInbox, SocketSink
from headway.server.wire import Facts, Failed, Hello, Phase

log = logging.getLogger("headway.engine")


class Summons(msgspec.Struct, frozen=True):
    """What the parent writes on the child's stdin."""

    socket: str
    secret: str


class Loaded(NamedTuple):
    """An engine that is ready to serve."""

    facts: Facts
    run: Callable[[], None]  # until the inbox says closed
    close: Callable[[], None]


Load = Callable[[Inbox, Sink, Callable[[], None], Callable[[str, float], None]], Loaded]
"""(inbox, sink, wake, told) -> engine. `wake` is for the executor, `told` hears each phase of loading."""


def run_engine(load: Load, refusals: tuple[type[Exception], ...] = ()) -> int:
    """Serve the parent that started this process until it goes. Returns the exit code.

    `refusals`: errors of `load` whose message says all; they are told and no traceback is shown.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # meant for the parent, which drains and then hangs up
        signal.signal(number, signal.SIG_IGN)
    summons = msgspec.json.decode(sys.stdin.buffer.readline(), type=Summons)
    Thread(target=_end_with_parent, name="headway-parent-watch", daemon=True).start()
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(summons.socket)
    return serve_bridge(connection, bytes.fromhex(summons.secret), load, refusals)


def _end_with_parent() -> None:
    while os.read(0, 1024):  # not through sys.stdin: a thread inside it would break the interpreter's own end
        continue
    os._exit(1)  # the loop may be in the middle of anything, and nobody is left to hear it


def serve_bridge(
    connection: socket.socket, secret: bytes, load: Load, refusals: tuple[type[Exception], ...] = ()
) -> int:
    """The same over a socket that is connected already, in any thread."""
    bridge = Bridge(connection)
    inbox, sink = SocketInbox(bridge), SocketSink(bridge)
    sink.tell(Hello(secret))
    try:
        loaded = load(inbox, sink, inbox.wake, lambda name, seconds: sink.tell(Phase(name, seconds)))
    except refusals as error:
        sink.tell(Failed(str(error)))
        bridge.close("the engine could not start")
        return 2
    except Exception as error:
        sink.tell(Failed(f"{type(error).__name__} while loading"))
        raise
    sink.tell(loaded.facts)
    try:
        loaded.run()
    except ExecutorDied as died:
        sink.tell(Failed(str(died)))
        log.error("the executor died: %s", died)
        return 1
    finally:
        loaded.close()
        bridge.close("the engine has ended")
    return 0
