"""Starting the engine process, and ending it: the parent's side.

Owns the child, and the socket between the two: a pair without a name, one half of which is the child's stdin.
Nothing of the engine's settings passes here; the command line brings them.
"""

import socket
import subprocess
from collections.abc import Sequence

_stderr = 2


class EngineProcess:
    """A child that has been started; it may still be loading. Close it, whatever happened."""

    def __init__(self, command: Sequence[str]) -> None:
        """`command` is a program that calls `run_engine`. Raises OSError if it cannot be started."""
        self.connection, theirs = socket.socketpair()
        with theirs:
            try:
                # Its own session: Ctrl-C is for the parent. Its stdout is our stderr: ours is for answers.
                self._child = subprocess.Popen(
                    command, stdin=theirs.fileno(), stdout=_stderr, start_new_session=True
                )
            except OSError:
                self.connection.close()
                raise

    @property
    def pid(self) -> int:
        return self._child.pid

    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._child.poll()

    def kill(self) -> None:
        self._child.kill()

    def close(self, patience_s: float = 5.0) -> int:
        """Hang up, which ends the child; kill it when it does not end. Returns its code."""
        self.connection.close()
        try:
            return self._child.wait(patience_s)
        except subprocess.TimeoutExpired:
            self._child.kill()
            return self._child.wait()
