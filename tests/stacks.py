"""The stack as one template: what the nested stacks make is put in their place.

``python -m tests.stacks FILE`` writes it as JSON, for checkov, which knows neither loops nor what a
nested stack is given; with what is suppressed of which resource, from ``suppressions.yaml``.
"""

import json
import sys
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from infra.template import Template, load

ROOT = Path(__file__).parents[1]
NESTED = "AWS::CloudFormation::Stack"


def whole() -> Template:
    """``template.yaml`` with the resources of ``stacks/`` in it."""
    template = load(ROOT / "template.yaml")
    document = dict(template.document)
    resources = dict(document["Resources"])
    for logical_id, stack in template.resources(NESTED).items():
        del resources[logical_id]
        given = stack["Properties"]["Parameters"]
        nested = load(ROOT / stack["Properties"]["TemplateURL"])
        assert given.keys() == nested.parameters().keys(), f"{logical_id} is given what it takes"
        added = with_arguments(nested.document["Resources"], given)
        assert not added.keys() & resources.keys()
        if "Condition" in stack:
            added = {name: {"Condition": stack["Condition"], **it} for name, it in added.items()}
        resources |= added
        document["Conditions"] |= with_arguments(nested.document.get("Conditions", {}), given)
    return Template(document | {"Resources": resources}, ROOT)


def with_arguments(part: Any, given: Mapping[str, Any]) -> Any:
    """The part of a nested template with its parameters replaced by what the parent gives."""
    if isinstance(part, list):
        return [with_arguments(item, given) for item in part]
    if not isinstance(part, dict):
        return part
    match part:
        case {"Ref": name} if name in given:
            return given[name]
        case {"Fn::Sub": str(text)}:
            for name, value in given.items():
                text = text.replace(f"${{{name}}}", in_text(value))
            return {"Fn::Sub": text}
    return {key: with_arguments(item, given) for key, item in part.items()}


def in_text(value: Any) -> str:
    """How a text has the value in it."""
    match value:
        case {"Ref": name}:
            return f"${{{name}}}"
        case {"Fn::GetAtt": path}:
            return f"${{{'.'.join(path)}}}"
    return str(value)


def suppressions() -> dict[str, dict[str, Any]]:
    """Of each check of checkov's: the ``resources`` that it is wrong about, and the ``reason``."""
    text = (ROOT / "tests/suppressions.yaml").read_text(encoding="utf-8")
    found: dict[str, dict[str, Any]] = yaml.safe_load(text)
    return found


def checked() -> dict[str, Any]:
    """What checkov looks at: the whole template, and what ``infra/bootstrap.yaml`` makes."""
    document = deepcopy(dict(whole().document))
    document["Resources"] |= load(ROOT / "infra/bootstrap.yaml").document["Resources"]
    return document


def suppressed() -> dict[str, Any]:
    """The same, with what is suppressed of each resource said in it."""
    document = checked()
    for check, suppression in suppressions().items():
        skip = {"id": check, "comment": suppression["reason"]}
        for name in suppression["resources"]:
            metadata = document["Resources"][name].setdefault("Metadata", {})
            metadata.setdefault("checkov", {"skip": []})["skip"].append(skip)
    return document


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(suppressed(), indent=1), encoding="utf-8")
