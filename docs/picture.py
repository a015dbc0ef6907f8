"""Draws docs/serve.svg: a real `headway serve` and a real request, as a terminal would show them.

Run it from the repository's root with the project's Python: `.venv/bin/python docs/picture.py`.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.json import JSON
from rich.terminal_theme import MONOKAI
from rich.text import Text

question = "What is the capital of Japan?"
width = 110


def main() -> None:
    console = Console(record=True, width=width, file=sys.stderr, force_terminal=True)
    serve = subprocess.Popen(
        [shutil.which("headway", path=str(Path(sys.executable).parent)) or "headway", "serve", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert serve.stdout is not None
    try:
        console.print(Text("$ headway serve smollm2", style="bold green"))
        while not (line := serve.stdout.readline()).startswith("{"):
            if line.strip() and not line.startswith("curl"):
                console.print(Text(line.rstrip("\n")), no_wrap=True, crop=True)
        _ask(console, json.loads(line)["url"])
    finally:
        serve.terminate()
        serve.wait()
    console.save_svg("docs/serve.svg", title="headway", theme=MONOKAI)


def _ask(console: Console, url: str) -> None:
    body = {"messages": [{"role": "user", "content": question}], "temperature": 0, "max_tokens": 48}
    send = f"curl -s {url}/v1/chat/completions -H 'Content-Type: application/json'"
    command = f"{send} \\\n    -d '{json.dumps(body)}' | python3 -m json.tool"
    console.print(Text(f"\n$ {command}", style="bold green"))
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    console.print(JSON(ran.stdout, indent=2))


if __name__ == "__main__":
    main()
