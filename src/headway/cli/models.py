"""`headway models`: what is on this machine, and fetching what is not."""

from typing import Annotated

import typer
from rich.table import Table

from headway import hub
from headway.cli.ending import last_line, told_plainly
from headway.cli.flags import Json
from headway.terminal import fetching, show_table

app = typer.Typer(no_args_is_help=True, help="Models on this machine: list them, fetch one.")


@app.command("list")
def list_models(json: Json = False) -> None:
    """Models that are on this machine, under the names that commands take."""
    found = hub.models()
    if json:
        rows = [{"name": m.name, "family": m.family, "bytes": m.bytes, "path": str(m.path)} for m in found]
        return last_line({"models": rows})
    if not found:
        typer.echo("No model is here yet. Fetch one: headway models pull smollm2")
        return None
    table = Table("name", "family", "size", "path", box=None)
    for model in found:
        table.add_row(model.name, model.family or "?", f"{model.bytes / 1e6:,.0f} MB", str(model.path))
    show_table(table)
    return None


@app.command()
def pull(
    name: Annotated[str, typer.Argument(help="An alias such as smollm2, or a hub id (org/name).")],
    json: Json = False,
) -> None:
    """Fetch a model into the cache, unless it is there."""
    with told_plainly(as_json=json), fetching(name) as progress:
        path = hub.resolve(name, progress=progress)
    if json:
        last_line({"name": name, "path": str(path)})
    else:
        typer.echo(f"{name} is at {path}")
