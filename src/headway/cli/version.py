"""`headway version`: what runs here."""

import platform
from importlib.metadata import version as version_of

import typer

from headway.cli.ending import last_line
from headway.cli.flags import Json


def version(json: Json = False) -> None:
    """Versions of Headway, torch and Python."""
    versions = {
        "headway": version_of("headway"),
        "torch": version_of("torch"),
        "python": platform.python_version(),
    }
    if json:
        last_line(dict(versions))
    else:
        typer.echo("  ".join(f"{name} {number}" for name, number in versions.items()))
