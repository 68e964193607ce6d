"""The command line: thin commands around the packages that do the work.

Nothing heavy is imported until a command needs it, so that ``segue --help`` answers at once.
``python -m typer infra.cli utils docs --name segue --title Commands --output docs/commands.md``
writes the page of all commands anew; a test holds the two together.
"""

from infra.cli.app import app

__all__ = ["app", "main"]


def main() -> None:
    """The console script ``segue``."""
    app()
