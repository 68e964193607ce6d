"""Docker for ``sam local``: this machine's daemon or, for want of one, our own.

Our own needs no registry: what stands for Lambda's image is made of this machine's Python 3.13.
"""

import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from ipaddress import ip_network
from pathlib import Path
from tempfile import mkdtemp
from time import sleep

from infra.process import stop
from tests.runtime.emulator import Runtime

_IMAGE = "public.ecr.aws/lambda/python:3.13-x86_64"
# The machine may be busy, and containers take their time.
_STOP_SECONDS = 300

# With what SAM builds an image of its own on this one.
_PROGRAMS = ("sh", "chmod", "cp", "mv", "rm")
_BOOTSTRAP = """#!/bin/sh
export PYTHONPATH=/var/task:/opt/python:/var/runtime
exec {python} -m awslambdaric "$_HANDLER"
"""


@dataclass(frozen=True, slots=True)
class Docker:
    """A daemon that answers.

    ``environment``: the variables by which programs find it. ``bridge``: the address at which its
    containers find this machine. ``options``: for ``sam local``.
    """

    environment: Mapping[str, str]
    bridge: str
    options: tuple[str, ...] = ()


def why_not() -> str | None:
    """What stands in the way of a daemon, or None."""
    is_own = _bridge(os.environ) is None
    needed = ("docker", "socat", *(("dockerd", "iptables", "ip") if is_own else ()))
    absent = [program for program in needed if shutil.which(program) is None]
    if absent:
        return f"no Docker: {', '.join(absent)} cannot be found"
    if is_own and os.geteuid():
        return "no Docker daemon answers, and only root can start one"
    return None


@contextmanager
def running(runtime: Runtime, build: Path) -> Iterator[Docker]:
    """A daemon that has, or can fetch, the image for the functions in the folder ``build``."""
    bridge = _bridge(os.environ)
    if bridge is not None:
        yield Docker({}, bridge)
        return
    with own_daemon() as docker:
        _make_image(runtime, build, docker.environment)
        yield docker


@contextmanager
def own_daemon() -> Iterator[Docker]:
    """A daemon of our own, which is gone at the end, and with this process if that is killed."""
    folder = Path(mkdtemp(prefix="segue-docker-"))
    environment = {"DOCKER_HOST": f"unix://{folder}/docker.sock"}
    script = Path(__file__).with_name("dockerd.sh")
    process = subprocess.Popen(
        ["sh", script, folder], stdin=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        while (bridge := _bridge(os.environ | environment)) is None:
            assert process.poll() is None, "dockerd has ended; what it printed says why"
            sleep(0.1)
        yield Docker(environment, bridge, ("--skip-pull-image",))
    finally:
        stop(process, _STOP_SECONDS)


def _bridge(environment: Mapping[str, str]) -> str | None:
    """The address at which containers find this machine; None where no daemon answers."""
    if shutil.which("docker") is None:
        return None
    subnet = "{{(index .IPAM.Config 0).Subnet}}"
    command = ["docker", "network", "inspect", "bridge", "--format", subnet]
    asked = subprocess.run(command, env=environment, capture_output=True, text=True)
    return None if asked.returncode else str(next(ip_network(asked.stdout.strip()).hosts()))


def _make_image(runtime: Runtime, build: Path, environment: Mapping[str, str]) -> None:
    """Import what the functions need of this machine, as the image that SAM looks for."""
    changes = ("--change", "ENV PATH=/bin", "--change", "WORKDIR /var/task")
    command = ["docker", "import", *changes, "-", _IMAGE]
    with subprocess.Popen(
        command, env=os.environ | environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as importing:
        assert importing.stdin
        with tarfile.open(fileobj=importing.stdin, mode="w|", dereference=True) as archive:
            _fill(archive, runtime, build)
    assert importing.returncode == 0


def _fill(archive: tarfile.TarFile, runtime: Runtime, build: Path) -> None:
    python, library = _python(runtime)
    programs = [Path("/bin", name) for name in _PROGRAMS]
    binaries = [python, *programs, *library.rglob("*.so"), *build.rglob("*.so*")]
    for file in {python, *programs, *_libraries(binaries)}:
        # What the functions bring along themselves is in their layers.
        if not any(map(file.is_relative_to, (library, build))):
            archive.add(file)
    left_out = {str(library / name).lstrip("/") for name in ("test", "site-packages")}
    archive.add(library, filter=lambda it: None if it.name in left_out else it)
    archive.add(runtime.packages, "var/runtime")
    for folder in ("opt", "tmp", "var/task"):
        entry = tarfile.TarInfo(folder)
        entry.type, entry.mode = tarfile.DIRTYPE, 0o1777
        archive.addfile(entry)
    for name, text in {
        "etc/nsswitch.conf": "hosts: files\n",
        "etc/passwd": "root:x:0:0::/:/bin/sh\n",
        "var/runtime/bootstrap": _BOOTSTRAP.format(python=python),
    }.items():
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(text), 0o755
        archive.addfile(entry, BytesIO(text.encode()))


def _python(runtime: Runtime) -> tuple[Path, Path]:
    """The interpreter and its library, at the paths where it looks for it."""
    question = "import os, sys; print(os.path.realpath(sys.executable)); print(os.__file__)"
    told = subprocess.check_output([runtime.python, "-c", question], text=True)
    python, module = map(Path, told.splitlines())
    return python, module.parent


def _libraries(binaries: Iterable[Path]) -> set[Path]:
    """The shared libraries that these are linked with, the loader among them."""
    told = subprocess.run(["ldd", *binaries], capture_output=True, text=True).stdout
    paths = re.findall(r"(?:=>\s|^\s+)(/\S+) \(", told, re.MULTILINE)
    return {Path(os.path.normpath(path)) for path in paths}
