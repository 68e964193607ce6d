"""A child process that is an emulator of AWS, and lives as long as its standard input is open."""

import subprocess
from http import HTTPStatus

import urllib3


def answers(endpoint: str, seconds: float) -> bool:
    """Whether it does, once it has started; its listener holds the request until then."""
    try:
        answer = urllib3.request("GET", f"{endpoint}/_ministack/health", timeout=seconds)
    except urllib3.exceptions.HTTPError:
        return False
    return answer.status == HTTPStatus.OK


def stop(process: subprocess.Popen[bytes] | subprocess.Popen[str], seconds: float) -> None:
    """Close what leads to the child, which ends it, and wait so long; then kill it."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
