"""What CloudFormation's transform ``AWS::LanguageExtensions`` makes of loops, ``Fn::ForEach``."""

import re
from collections.abc import Mapping
from typing import Any

_LOOP = "Fn::ForEach::"


def expand(value: Any) -> Any:
    """The template, or a part of it, with every loop replaced by what it repeats.

    ``"Fn::ForEach::Name": [identifier, [values], {key: body}]`` stands for a key and body of each
    value: there, ``${identifier}`` and a ``Ref`` to the identifier are the value, and
    ``&{identifier}`` is its letters and digits. A ``Ref`` or ``Fn::GetAtt`` to a name that was put
    together becomes one to the name.
    """
    if isinstance(value, list):
        return [expand(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    expanded: dict[str, Any] = {}
    for key, item in value.items():
        expanded |= _repeat(*item) if key.startswith(_LOOP) else {key: expand(item)}
    return _plain_reference(expanded)


def _repeat(identifier: str, values: list[str], body: Mapping[str, Any]) -> dict[str, Any]:
    repeated: dict[str, Any] = {}
    for value in values:
        repeated |= expand(_put(body, identifier, value))
    return repeated


def _put(part: Any, identifier: str, value: str) -> Any:
    if isinstance(part, str):
        alphanumeric = re.sub(r"[^A-Za-z0-9]", "", value)
        return part.replace(f"${{{identifier}}}", value).replace(f"&{{{identifier}}}", alphanumeric)
    if isinstance(part, list):
        return [_put(item, identifier, value) for item in part]
    if not isinstance(part, Mapping):
        return part
    if dict(part) == {"Ref": identifier}:
        return value
    return {_put(key, identifier, value): _put(it, identifier, value) for key, it in part.items()}


def _plain_reference(part: dict[str, Any]) -> dict[str, Any]:
    """Without the ``Fn::Sub`` that put a name together in a loop, and has nothing left to do."""
    match part:
        case {"Ref": {"Fn::Sub": str(name)}}:
            return {"Ref": name}
        case {"Fn::GetAtt": [{"Fn::Sub": str(name)}, attribute]}:
            return {"Fn::GetAtt": [name, attribute]}
    return part
