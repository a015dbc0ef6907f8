"""The `headway` command: its subcommands in two groups."""

import typer

from headway.cli import bench, models
from headway.cli.calibrate import calibrate
from headway.cli.capacity import capacity_command
from headway.cli.headlines import headlines
from headway.cli.plan import plan
from headway.cli.run import run
from headway.cli.serve import serve
from headway.cli.sim import sim
from headway.cli.sweep import sweep_command
from headway.cli.top import top_command
from headway.cli.tune import tune_command
from headway.cli.version import version

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Serve and run language models. Every command takes --json and --help.",
)
app.command(rich_help_panel="Answer")(serve)
app.command(rich_help_panel="Answer")(run)
app.add_typer(bench.app, name="bench", rich_help_panel="Measure")
app.command("sweep", rich_help_panel="Measure")(sweep_command)
app.command("capacity", rich_help_panel="Measure")(capacity_command)
app.command("tune", rich_help_panel="Measure")(tune_command)
app.command("top", rich_help_panel="Measure")(top_command)
app.command(rich_help_panel="Measure")(calibrate)
app.command(rich_help_panel="Measure")(sim)
app.command(rich_help_panel="Measure")(plan)
app.command(rich_help_panel="Measure")(headlines)
app.add_typer(models.app, name="models", rich_help_panel="This machine")
app.command(rich_help_panel="This machine")(version)
