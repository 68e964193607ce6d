"""The commands of ``infra.simulations``, as a shell calls them."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from typer import Typer
from typer.testing import CliRunner


class Run(NamedTuple):
    """What a command printed, and the JSON that it wrote."""

    printed: str
    outcomes: str


def repeated(main: Callable[..., None], folder: Path, *arguments: str) -> list[Run]:
    """The command run with one seed, with the same again, and with another one."""
    command = Typer()
    command.command()(main)
    file = folder / "outcomes.json"

    def run(seed: int) -> Run:
        options = [*arguments, "--seed", str(seed), "--json", str(file)]
        result = CliRunner().invoke(command, options)
        assert result.exit_code == 0, result.output
        return Run(result.stdout, file.read_text())

    first, again, other = runs = [run(1), run(1), run(2)]
    assert first.outcomes == again.outcomes != other.outcomes
    return runs
