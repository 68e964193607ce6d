"""Known vulnerabilities of what is deployed: ``python -m infra.audit``.

Exits with 0 where every package was looked up and none has a known one, with 1 where one has, and
with 69 where that cannot be said: the package index has no advisories, or cannot be reached. Then a
line says that nothing was audited; to say "no known vulnerabilities" of it would be wrong.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LISTS = ("layers/runtime/requirements.txt", "layers/stats/requirements.txt")

FINE, VULNERABLE, UNKNOWN = 0, 1, 69


def audit(lists: Sequence[str]) -> tuple[int, list[str]]:
    """The exit status, and what to print."""
    command = [sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off"]
    command += ["--require-hashes", "--disable-pip"]
    command += [part for name in lists for part in ("--requirement", name)]
    ended = subprocess.run(  # noqa: S603  # the project's own command
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    try:
        packages = json.loads(ended.stdout)["dependencies"]
    except ValueError:
        reason = ended.stderr.strip().rpartition("\n")[2] or f"status {ended.returncode}"
        return UNKNOWN, [f"NOT AUDITED: pip-audit gave no answer: {reason}"]
    return judge(packages)


def judge(packages: Sequence[dict[str, Any]]) -> tuple[int, list[str]]:
    """The same, of pip-audit's answer; a package has either ``vulns`` or a ``skip_reason``."""
    found = [
        f"{it['name']} {it['version']}: {vulnerability['id']}, mended in "
        f"{' or '.join(vulnerability['fix_versions']) or 'no release'}"
        for it in packages
        for vulnerability in it.get("vulns", ())
    ]
    if found:
        return VULNERABLE, found
    skipped = [it for it in packages if "vulns" not in it]
    if skipped or not packages:
        reason = skipped[0]["skip_reason"] if skipped else "there is no package in the lists"
        line = f"NOT AUDITED: {len(skipped)} of {len(packages)} packages, such as: {reason}"
        return UNKNOWN, [line]
    return FINE, [f"{len(packages)} packages audited: none has a known vulnerability"]


if __name__ == "__main__":
    status, lines = audit(LISTS)
    print("\n".join(lines))  # noqa: T201  # what the command is for
    sys.exit(status)
