"""Pages that commands write: whether they can be written is known before the work, not after it."""

import os
from pathlib import Path

import typer

from headway.config import ConfigError


def check_page(path: Path | None) -> None:
    """Raises ConfigError where it could not be written."""
    if path is None:
        return
    if path.is_dir():
        raise ConfigError(f"--html {path}: it is a folder")
    if not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
        raise ConfigError(f"--html {path}: it cannot be written there")


def write_page(path: Path, text: str, flag: str = "--html") -> None:
    """Raises ConfigError."""
    try:
        path.write_text(text)
    except OSError as error:
        raise ConfigError(f"{flag} {path}: {error.strerror}") from error
    typer.echo(f"{path} has the plots", err=True)
