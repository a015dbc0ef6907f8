"""Starting the engine process, and ending it: the parent's side.

Owns the child, and the socket that it calls: a name in a folder that only this user can enter. Nothing of the
engine's settings passes here; the command line brings them.
"""

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from headway.server.engine_main import Summons

_stderr = 2


class EngineProcess:
    """A child that has been started; it may still be loading. Close it, whatever happened."""

    def __init__(self, command: Sequence[str]) -> None:
        """`command` is a program that calls `run_engine`. Raises OSError if it cannot be started."""
        self.secret = secrets.token_bytes(32)
        self._folder = Path(tempfile.mkdtemp(prefix="headway-"))  # 0700
        self.path = self._folder / "engine.sock"
        self.listener = listen(self.path)
        try:
            # Its own session: Ctrl-C is for the parent. Its stdout is our stderr: ours carries answers alone.
            self._child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=_stderr, bufsize=0, start_new_session=True
            )
        except OSError:
            self._remove_socket()
            raise
        summons = Summons(str(self.path), self.secret.hex())
        assert self._child.stdin is not None
        with suppress(BrokenPipeError):  # it has ended already; `exit_code` tells
            self._child.stdin.write(msgspec.json.encode(summons) + b"\n")

    @property
    def pid(self) -> int:
        return self._child.pid

    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._child.poll()

    def kill(self) -> None:
        self._child.kill()

    def close(self, patience_s: float = 5.0) -> int:
        """Wait for the child, which ends when the bridge does; kill it when it does not. Returns its code."""
        try:
            self._child.wait(patience_s)
        except subprocess.TimeoutExpired:
            self._child.kill()
        if self._child.stdin is not None:
            self._child.stdin.close()
        self._remove_socket()
        return self._child.wait()

    def _remove_socket(self) -> None:
        self.listener.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def listen(path: Path) -> socket.socket:
    """A listening socket that only this user may connect to."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    os.chmod(path, 0o600)
    listener.listen(8)
    return listener
