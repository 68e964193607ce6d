"""``python -m training.peers WORK [--k 20] [PEER ...]``: see ``training.peers.runner``.

Without names, all peers but those of the long form. Prints one JSON object a step: the peer, the
split, how many steps are done, how many there are, and why the peer failed there, if it did.
"""

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from training.peers.registry import PEERS, SHORT
from training.peers.runner import Step, run


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m training.peers")
    parser.add_argument("work", type=Path)
    parser.add_argument("peers", nargs="*", metavar="peer", help=", ".join(PEERS))
    parser.add_argument("--k", type=int, default=20)
    options = parser.parse_args()
    if strangers := [name for name in options.peers if name not in PEERS]:
        parser.error(f"no such peer: {', '.join(strangers)}")
    # Libraries print, too: what they say goes to stderr, and progress alone to stdout.
    lines = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def report(step: Step) -> None:
        lines.write(json.dumps(asdict(step)) + "\n")

    run(options.work, [PEERS[name] for name in options.peers or SHORT], options.k, report)


if __name__ == "__main__":
    main()
