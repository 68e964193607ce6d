"""Builds the stack with SAM once, and runs its functions beside a local DynamoDB and S3."""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import boto3
import pytest

from infra.local import stack
from infra.local.environment import local_settings
from infra.process import listen
from infra.template import Template, create_resources, load
from segue.adapters.archive import S3Archive
from segue.adapters.clock import SystemClock
from segue.adapters.dynamodb import DynamoUserStore
from segue.adapters.experiments import S3ExperimentStore
from segue.adapters.exposures import DynamoResultStore
from segue.adapters.objects import Objects
from segue.adapters.sessions import DynamoSessionStore
from segue.domain.times import format_time
from segue.models.bundle import Bundle
from tests.runtime.emulator import Function, Runtime, running
from tests.runtime.support import ROOT, Deploy, Stack, Start, sam_build

REQUIREMENTS = Path(__file__).parent / "requirements.txt"


@pytest.fixture(scope="session")
def sam() -> Path:
    """The SAM CLI. It has an environment of its own: its pins clash with ours."""
    candidates = (ROOT / ".venv-sam" / "bin" / "sam", shutil.which("sam"), os.getenv("SEGUE_SAM"))
    for candidate in candidates:
        if candidate and Path(candidate).is_file():
            return Path(candidate).resolve()
    pytest.skip("no SAM CLI in .venv-sam, on the PATH or in SEGUE_SAM")


@pytest.fixture(scope="session")
def runtime(sam: Path, pytestconfig: pytest.Config) -> Runtime:
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        pytest.skip("the functions are built for Linux on x86_64")
    # The emulator comes with SAM, which mounts it into its containers.
    emulator = next(sam.parents[1].rglob("samcli/local/rapid/aws-lambda-rie-x86_64"), None)
    if emulator is None:
        pytest.skip(f"{sam} comes without Lambda's emulator")
    found = subprocess.run(
        ["sh", str(ROOT / "layers/python313.sh"), "-c", "import sys; print(sys.executable)"],
        capture_output=True,
        text=True,
    )
    if found.returncode:
        pytest.skip(found.stdout.strip())
    python = Path(found.stdout.strip())
    assert pytestconfig.cache
    cache = pytestconfig.cache.mkdir("lambda-runtime")
    return Runtime(emulator, python, _provided_packages(cache, python))


@pytest.fixture(scope="session")
def build(sam: Path, bundle_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which ``sam build`` left one folder for each function and layer."""
    folder = tmp_path_factory.mktemp("sam") / "build"
    result = sam_build(sam, folder, bundle_path)
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture(scope="session")
def template() -> Template:
    return load(ROOT / "template.yaml")


@pytest.fixture(scope="session")
def local_stack(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with (
        listen(0, "--stack-port") as listener,
        stack.running(tmp_path_factory.mktemp("stack"), listener) as endpoint,
    ):
        settings = local_settings(endpoint)
        session = boto3.Session(
            settings["AWS_ACCESS_KEY_ID"],
            settings["AWS_SECRET_ACCESS_KEY"],
            region_name=settings["AWS_DEFAULT_REGION"],
        )
        dynamodb = session.client("dynamodb", endpoint_url=endpoint)
        s3 = session.client("s3", endpoint_url=endpoint)
        names = create_resources(template, dynamodb, s3, "segue-runtime")
        objects = Objects(s3, names["Bucket"])
        yield Stack(
            settings,
            names,
            DynamoSessionStore(dynamodb, names["SessionsTable"], SystemClock()),
            DynamoUserStore(dynamodb, names["UsersTable"]),
            S3ExperimentStore(objects),
            DynamoResultStore(dynamodb, names["ExposuresTable"]),
            S3Archive(objects),
        )


@pytest.fixture(scope="session")
def deployed(
    template: Template,
    build: Path,
    bundle: Bundle,
    local_stack: Stack,
    tmp_path_factory: pytest.TempPathFactory,
) -> Deploy:
    """A function by its logical id, built and configured."""

    @cache
    def opt(layers: tuple[str, ...]) -> Path:
        """The layers, one over the other, as Lambda lays them out in /opt."""
        folder = tmp_path_factory.mktemp("opt")
        for layer in layers:
            shutil.copytree(build / layer, folder, copy_function=os.link, dirs_exist_ok=True)
        return folder

    def function(function_id: str) -> Function:
        folder = opt(tuple(template.layers(function_id)))
        environment = {
            **template.environment(function_id, local_stack.names),
            **local_stack.settings,
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(template.timeout(function_id)),
            "BUNDLE_PATH": str(folder / "bundle"),
            "SEGUE_AS_OF": format_time(bundle.manifest.cutoff),
        }
        return Function(template.handler(function_id), build / function_id, folder, environment)

    return function


@pytest.fixture
def start(runtime: Runtime, tmp_path: Path) -> Iterator[Start]:
    """Starts a function: a cold start. It is stopped when the test ends."""
    with ExitStack() as instances:
        yield lambda function: instances.enter_context(
            running(runtime, function, tmp_path / "function.log")
        )


def _provided_packages(cache: Path, python: Path) -> Path:
    """Install what Lambda provides, byte-compiled as there, once for each set of requirements."""
    digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]
    packages = cache / digest
    if packages.is_dir():
        return packages
    # Made under another name first, so that an installation cut short is never taken for one.
    with TemporaryDirectory(dir=cache) as scratch:
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "install", "--quiet", "--no-compile"),
                *("--disable-pip-version-check", "--root-user-action", "ignore"),
                *("--target", f"{scratch}/packages", "--requirement", str(REQUIREMENTS)),
                *("--require-hashes", "--no-deps"),
                *("--only-binary=:all:", "--ignore-requires-python", "--python-version", "3.13"),
                *("--implementation", "cp", "--platform", "manylinux2014_x86_64"),
            ],
            check=True,
        )
        subprocess.run([str(python), "-m", "compileall", "-q", f"{scratch}/packages"], check=True)
        Path(scratch, "packages").rename(packages)
    return packages
