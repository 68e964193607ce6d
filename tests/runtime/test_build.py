"""What ``sam build`` makes: complete, small, quick to start, and refused where it cannot work."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from infra import sbom
from infra.template import Template
from segue.models.bundle import MANIFEST, Bundle
from tests.runtime.emulator import Runtime
from tests.runtime.support import ROOT, sam_build

# Hash-based byte code that is never checked against its source (PEP 552).
UNCHECKED_HASH = (1).to_bytes(4, "little")
# Bytes of the bundle that `make run` trains.
DEMO_MODELS = 29.4e6


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_function_is_its_handler_alone(template: Template, build: Path) -> None:
    for function_id in template.functions():
        assert files(build / function_id) == {"app.py"}


def test_the_core_layer_is_the_segue_package(build: Path) -> None:
    source = ROOT / "layers/core/segue"
    built = build / "CoreLayer/python/segue"
    assert {path.name for path in (build / "CoreLayer/python").iterdir()} == {"segue"}
    assert {name for name in files(built) if "__pycache__" not in name} == {
        name for name in files(source) if "__pycache__" not in name
    }


def test_the_runtime_layer_holds_what_the_functions_import_and_no_more(build: Path) -> None:
    packages = {path.name for path in (build / "RuntimeLayer/python").iterdir()}
    assert {name for name in packages if not name.endswith(".dist-info")} == {
        "__pycache__",
        "aws_lambda_powertools",
        "jmespath",
        "msgspec",
        "numpy",
        "numpy.libs",
        "onnxruntime",
        "snapshot_restore_py.py",
        "typing_extensions.py",
    }


def test_the_models_layer_is_what_the_manifest_names(build: Path, bundle: Bundle) -> None:
    assert files(build / "ModelsLayer/bundle") == {MANIFEST, *bundle.manifest.files}


def test_function_and_layers_stay_small(template: Template, build: Path) -> None:
    for function_id in template.functions():
        folders = {function_id, *template.layers(function_id)}
        # The models here are far smaller than those of the demo.
        size = DEMO_MODELS if "ModelsLayer" in folders else 0
        paths = (path for it in folders - {"ModelsLayer"} for path in (build / it).rglob("*"))
        size += sum(path.stat().st_size for path in paths if path.is_file())
        # The report is not in a hurry, and has SciPy; Lambda takes 250 MB.
        assert size < (250e6 if "StatsLayer" in folders else 120e6), function_id


@pytest.mark.parametrize("layer", ["CoreLayer", "RuntimeLayer", "StatsLayer"])
def test_every_module_of_a_layer_is_byte_compiled(
    layer: str, build: Path, runtime: Runtime
) -> None:
    modules = list((build / layer).rglob("*.py"))
    assert modules
    for module in modules:
        byte_code = module.parent / "__pycache__" / f"{module.stem}.cpython-313.pyc"
        assert byte_code.read_bytes()[4:8] == UNCHECKED_HASH, module


def test_every_built_template_can_be_sent_as_it_is(build: Path) -> None:
    built = [path for path in build.rglob("*.yaml") if path.name == "template.yaml"]
    assert len(built) > 1
    for path in built:
        # What CloudFormation takes without a bucket.
        assert path.stat().st_size <= 51_200, path


def test_layers_are_built_for_graviton_too(sam: Path, bundle: Bundle, tmp_path: Path) -> None:
    folder = tmp_path / "build"
    result = sam_build(sam, folder, bundle, "RuntimeLayer", SEGUE_ARCHITECTURE="arm64")
    assert result.returncode == 0, result.stderr
    built = list((folder / "RuntimeLayer").rglob("*.so"))
    assert built
    for library in built:
        # The processor that an ELF file is for, in its 18th byte: AArch64.
        assert library.read_bytes()[18] == 183, library


def test_a_layer_is_built_without_python_313_too_and_says_so(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("cp", "find", "mkdir", "rm", "sh"):
        (tools / tool).symlink_to(shutil.which(tool) or tool)
    make = shutil.which("make")
    assert make
    result = subprocess.run(
        [make, "--makefile", str(ROOT / "layers/core/Makefile"), "build-CoreLayer"],
        cwd=ROOT / "layers/core",
        env={"PATH": str(tools), "HOME": str(tmp_path), "ARTIFACTS_DIR": str(tmp_path / "out")},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert "no Python 3.13" in result.stdout
    assert "build-CoreLayer: not byte-compiled, so cold starts will take longer" in result.stdout
    assert (tmp_path / "out/python/segue/__init__.py").is_file()


def test_a_build_without_a_bundle_says_how_to_get_one(sam: Path, tmp_path: Path) -> None:
    result = sam_build(sam, tmp_path / "build", tmp_path / "nothing", "ModelsLayer")
    assert result.returncode != 0
    assert (
        f"{tmp_path}/nothing/manifest.json is missing: "
        "segue train --data DIR --out layers/models/bundle\n"
    ) in result.stderr


def test_a_build_with_a_damaged_bundle_names_the_file(
    sam: Path, bundle: Bundle, tmp_path: Path
) -> None:
    damaged = shutil.copytree(bundle.path, tmp_path / "bundle")
    name = next(iter(bundle.manifest.files))
    os.truncate(damaged / name, 0)
    result = sam_build(sam, tmp_path / "build", damaged, "ModelsLayer")
    assert result.returncode != 0
    assert f"{damaged / name} is missing or damaged: train anew with segue train\n" in result.stderr


def test_the_list_of_components_is_what_is_locked_and_built(
    build: Path, bundle: Bundle, tmp_path: Path
) -> None:
    sbom.main(build, tmp_path / "sbom.json")
    listed = json.loads((tmp_path / "sbom.json").read_text())["components"]
    packages = {it["name"]: it["version"] for it in listed if it["type"] == "library"}
    locks = (ROOT / f"layers/{layer}/requirements.txt" for layer in ("runtime", "stats"))
    pins = re.findall(r"(?m)^(\S+)==(\S+)", "".join(lock.read_text() for lock in locks))
    assert packages.items() <= set(pins)
    assert {"numpy", "onnxruntime", "scipy", "msgspec"} <= packages.keys()
    (models,) = (it for it in listed if it["type"] == "machine-learning-model")
    assert models["version"] == bundle.version
