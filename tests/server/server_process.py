"""The server process of the tests: `python -m tests.server.server_process SERVER_JSON ENGINE_JSON`.

SERVER_JSON is the server's settings, and may have `record`, a path. Prints a JSON line when it is listening,
and `ready` when it is.
"""

import json
import logging
import sys
from pathlib import Path

from headway.classes import read_classes
from headway.core.policies import POLICIES
from headway.server.door import now_s
from headway.server.engine_process import EngineProcess
from headway.server.record import recording
from headway.server.serve import Told, bind, serve
from headway.server.settings import ServerSettings
from tests.server.byte_text import byte_template, byte_tokenizer
from tests.server.scripted_engine import Scripted

model = "byte-model"


def main(settings_json: str, scripted_json: str) -> int:
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    scripted = Scripted(**json.loads(scripted_json))
    own = {"model": model, "port": 0, "policy": scripted.policy, "policies": tuple(POLICIES)}
    said = own | json.loads(settings_json)
    record = said.pop("record", None)
    settings = ServerSettings(**said, classes=read_classes(scripted.classes))
    listener = bind(settings)
    engine = EngineProcess(scripted.command())
    tokenizer = byte_tokenizer()
    listener.listen()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    _say(json.dumps({"url": url, "engine_pid": engine.pid}))
    told = Told(
        phase=lambda name, seconds: None,
        ready=lambda url, facts: _say("ready"),
        ended=lambda why: print(why, file=sys.stderr),
    )
    with recording(None if record is None else Path(record), now_s()) as recorder:
        return serve(settings, listener, engine, tokenizer, byte_template(tokenizer), told, recorder)


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    code = main(*sys.argv[1:])
    sys.stdout.flush()
    sys.exit(code)
