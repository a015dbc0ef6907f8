"""HTTP by hand, for what no client library would send."""

import json
import socket
from dataclasses import dataclass
from typing import Any

from tests.server.scripted_server import Server


@dataclass(frozen=True)
class Answer:
    status: int
    head: str
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def connect(server: Server) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port))
    connection.settimeout(20)
    return connection


def read_answer(connection: socket.socket) -> Answer:
    """One answer with a content-length, or all that comes until the end."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _receive(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").lower().split("\r\n")
    lengths = [int(line.split(":")[1]) for line in lines if line.startswith("content-length:")]
    while len(body) < (lengths[0] if lengths else 0):
        body += _receive(connection)
    return Answer(int(lines[0].split()[1]), head.decode("latin-1"), body)


def _receive(connection: socket.socket) -> bytes:
    data = connection.recv(1 << 16)
    assert data, "the server hung up in the middle of an answer"
    return data


def exchange(server: Server, request: bytes) -> Answer:
    with connect(server) as connection:
        connection.sendall(request)
        return read_answer(connection)
