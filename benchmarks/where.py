"""Where and when something was measured: date, machine and commit."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def where() -> dict[str, Any]:
    """Date, machine and commit of a measurement."""
    info = Path("/proc/cpuinfo")
    lines = (line.partition(":") for line in (info.read_text().splitlines() if info.exists() else ()))
    facts = {name.strip(): value.strip() for name, _, value in lines}
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": facts.get("model name", platform.processor() or "unknown"),
        "cores": os.cpu_count(),
        "load_average_before": round(os.getloadavg()[0], 2),
        "commit": _commit(),
    }


def _commit() -> str:
    """With a + where what is measured differs from it."""
    try:
        commit = _git("rev-parse", "--short=12", "HEAD")
        return commit + "+" * bool(_git("status", "--porcelain", "--", "src"))
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*command: str) -> str:
    root = str(Path(__file__).parents[1])
    ran = subprocess.run(["git", "-C", root, *command], capture_output=True, text=True, check=True)
    return ran.stdout.strip()
