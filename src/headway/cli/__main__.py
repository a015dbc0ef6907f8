"""`python -m headway.cli`: the command where it is not on the path."""

from headway.cli.main import app

app()
