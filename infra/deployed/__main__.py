"""``python -m infra.deployed``: the stack, deployed on this machine, until Ctrl-C."""

import sys
from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path

from infra.cli.options import BUNDLE, STATE
from infra.cli.output import console
from infra.deployed.serve import DeployOptions, serve_until_stopped
from segue.domain.errors import SegueError


def main() -> None:
    """Exits with 1, and one line on standard error, where it cannot."""
    try:
        serve_until_stopped(_options(), console())
    except (SegueError, OSError) as error:
        sys.exit(f"segue: {error}")


def _options() -> DeployOptions:
    parser = ArgumentParser(
        "python -m infra.deployed",
        description="Deploys the stack on this machine, and lets it answer until Ctrl-C.",
    )
    add = parser.add_argument
    bundle, state = BUNDLE, STATE / "deployed"
    add("--bundle", type=Path, metavar="DIR", default=bundle, help="the models [%(default)s]")
    add("--data", type=Path, metavar="DIR", help="a data folder to import")
    add("--state", type=Path, metavar="DIR", default=state, help="of build and logs [%(default)s]")
    add("--build", type=Path, metavar="DIR", help="what `sam build` made before")
    add("--port", type=_port, default=4567, help="of everything, on 127.0.0.1 [%(default)s]")
    add("--json", type=Path, metavar="FILE", dest="json_file", help="gets the stack's addresses")
    return DeployOptions(**vars(parser.parse_args()))


def _port(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= 65535):
        raise ArgumentTypeError(f"{text} is not from 1 to 65535")
    return int(text)


if __name__ == "__main__":
    main()
