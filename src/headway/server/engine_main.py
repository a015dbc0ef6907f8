"""The engine process, from its first line to its exit code.

Owns how it ends with its parent. What an engine is made of, its caller knows. Its stdin is one half of a pair
of sockets that the parent made: nobody else has the other half, and when the parent ends it is closed.
"""

import logging
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from threading import Thread
from typing import NamedTuple

from headway.core.ports import ExecutorDied, Inbox, Sink
from headway.server.engine_socket import Bridge, Pulse, SocketInbox, SocketSink
from headway.server.wire import Facts, Failed, Phase

log = logging.getLogger("headway.engine")

farewell_s = 1.0  # what the loop has to end by itself once the parent has hung up


class Loaded(NamedTuple):
    """An engine that is ready to serve."""

    facts: Facts
    pulse: Pulse  # how it stands; asked by the thread that runs it
    run: Callable[[], None]  # until the inbox says closed
    close: Callable[[], None]


Load = Callable[[Inbox, Sink, Callable[[], None], Callable[[str, float], None]], Loaded]
"""(inbox, sink, wake, told) -> engine. `wake` is for the executor, `told` hears each phase of loading."""


def run_engine(load: Load, refusals: tuple[type[Exception], ...] = ()) -> int:
    """Serve the parent that started this process until it hangs up. Returns the exit code.

    `refusals`: errors of `load` whose message says all; they are told and no traceback is shown.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # meant for the parent, which drains and then hangs up
        signal.signal(number, signal.SIG_IGN)
    connection = _take_stdin()
    Thread(
        target=_end_with_parent, args=(connection.dup(),), name="headway-parent-watch", daemon=True
    ).start()
    bridge = Bridge(connection)
    inbox, sink = SocketInbox(bridge), SocketSink(bridge)
    try:
        loaded = load(inbox, sink, inbox.wake, lambda name, seconds: sink.tell(Phase(name, seconds)))
    except refusals as error:
        sink.tell(Failed(str(error)))
        return 2
    except Exception as error:
        sink.tell(Failed(f"{type(error).__name__} while loading"))
        raise
    sink.tell(loaded.facts)
    inbox.beat_with(loaded.pulse)
    try:
        loaded.run()
    except ExecutorDied as died:
        sink.tell(Failed(str(died)))
        log.error("the executor died: %s", died)
        return 1
    finally:
        loaded.close()
    return 0


def _take_stdin() -> socket.socket:
    """The parent's socket, away from where a library may read and a child of ours would inherit it."""
    connection = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return connection


def _end_with_parent(connection: socket.socket) -> None:
    """The loop ends by itself once it finds the bridge closed; what loads or steps for long does not look."""
    hang_up = select.poll()
    hang_up.register(connection, select.POLLHUP)
    hang_up.poll()
    time.sleep(farewell_s)
    os._exit(1)  # nobody is left to hear of anything
