"""Reads ``template.yaml``, so that a laptop and the tests run the stack that AWS would be given.

Only as much of CloudFormation as the template uses: ``Ref``, ``Fn::Sub``, ``Fn::GetAtt``,
``Fn::Join``, ``Fn::FindInMap``, ``Fn::ForEach``, and ``Fn::If`` over conditions of ``Fn::Equals``
and ``Fn::Not``. Parameters take their defaults.
"""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from infra.loops import expand

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

API = "AWS::Serverless::Api"
FUNCTION = "AWS::Serverless::Function"
TABLE = "AWS::DynamoDB::Table"
BUCKET = "AWS::S3::Bucket"
KEY = "AWS::KMS::Key"
NO_VALUE = "AWS::NoValue"

_PLACEHOLDER = re.compile(r"\$\{([^}]+)\}")


class UnresolvedReference(LookupError):
    """The template refers to something that has neither a default nor a given value."""


@dataclass(frozen=True, slots=True)
class Route:
    """A method and path of the API, such as POST /models/{model_id}/predict, and who answers it."""

    method: str
    path: str
    function_id: str


@dataclass(frozen=True, slots=True)
class Table:
    """A DynamoDB table. ``schema`` holds what ``create_table`` takes beside the name.

    Encryption, recovery and deletion protection are left out: they are AWS's to give.
    """

    logical_id: str
    schema: Mapping[str, Any]
    ttl_attribute: str | None


@dataclass(frozen=True, slots=True)
class Bucket:
    """An S3 bucket."""

    logical_id: str
    versioned: bool


class Template:
    """A SAM template with its parameters at their defaults.

    Where a value may depend on resources, ``resolved_names`` gives what stands for them:
    ``{"UsersTable": "segue-users", "UsersTable.Arn": "arn:...", "AWS::Region": "eu-central-1"}``.
    Raises UnresolvedReference for a reference to anything else.
    """

    def __init__(self, document: Mapping[str, Any], folder: Path) -> None:
        self.document = document
        self._folder = folder

    def resources(self, kind: str) -> dict[str, dict[str, Any]]:
        """The resources of one CloudFormation type by logical id, with intrinsics in long form."""
        resources: dict[str, dict[str, Any]] = self.document["Resources"]
        return {name: it for name, it in resources.items() if it["Type"] == kind}

    def logical_ids(self) -> list[str]:
        """Of all resources, in the template's order."""
        return list(self.document["Resources"])

    def parameters(self) -> dict[str, dict[str, Any]]:
        """The parameters by name, as the template has them."""
        parameters: dict[str, dict[str, Any]] = self.document.get("Parameters", {})
        return parameters

    def defaults(self) -> Mapping[str, Any]:
        """The properties that functions have where they have none of their own."""
        properties: Mapping[str, Any] = self.document.get("Globals", {}).get("Function", {})
        return properties

    def routes(self) -> list[Route]:
        """Every route of the API, in the template's order; preflights (OPTIONS) are none."""
        return [
            Route(event["Properties"]["Method"].upper(), event["Properties"]["Path"], function_id)
            for function_id, function in self.resources(FUNCTION).items()
            for event in function["Properties"].get("Events", {}).values()
            if event["Type"] == "Api" and event["Properties"]["Method"] != "OPTIONS"
        ]

    def tables(self) -> list[Table]:
        """The DynamoDB tables."""
        return [
            _table(logical_id, self.resolve(table["Properties"]))
            for logical_id, table in self.resources(TABLE).items()
        ]

    def buckets(self) -> list[Bucket]:
        """The S3 buckets."""
        return [
            Bucket(logical_id, "VersioningConfiguration" in bucket["Properties"])
            for logical_id, bucket in self.resources(BUCKET).items()
        ]

    def functions(self) -> list[str]:
        """The logical ids of the functions, but for those that only another stage has."""
        return [
            function_id
            for function_id, function in self.resources(FUNCTION).items()
            if "Condition" not in function or self._holds(function["Condition"])
        ]

    def _holds(self, condition: str) -> bool:
        return bool(self.resolve({"Fn::If": [condition, True, False]}))

    def environment(self, function_id: str, resolved_names: Mapping[str, str]) -> dict[str, str]:
        """The function's environment variables."""
        own = self.resources(FUNCTION)[function_id]["Properties"]
        variables = _variables(self.defaults()) | _variables(own)
        return {name: str(self.resolve(value, resolved_names)) for name, value in variables.items()}

    def code_uri(self, function_id: str) -> Path:
        """The folder of the function's source."""
        return self._folder / str(self._property(function_id, "CodeUri"))

    def handler(self, function_id: str) -> str:
        """``module.function``, relative to ``code_uri``."""
        return str(self._property(function_id, "Handler"))

    def timeout(self, function_id: str) -> int:
        """How long the function may take, in seconds."""
        return int(self._property(function_id, "Timeout"))

    def reserved_concurrency(self, function_id: str) -> int:
        """How many instances of the function there may be at once; 0 where none are reserved."""
        own = self.resources(FUNCTION)[function_id]["Properties"]
        return int(self.resolve(own.get("ReservedConcurrentExecutions")) or 0)

    def layers(self, function_id: str) -> list[str]:
        """The logical ids of the function's layers, in the order in which they go into /opt."""
        own = self.resources(FUNCTION)[function_id]["Properties"]
        # SAM adds a function's list to that of all functions.
        layers = [*self.defaults().get("Layers", []), *own.get("Layers", [])]
        return [layer["Ref"] for layer in layers]

    def resolve(self, value: Any, resolved_names: Mapping[str, str] | None = None) -> Any:
        """The value with every intrinsic in it replaced by what it stands for."""
        defaults = {
            name: it["Default"] for name, it in self.parameters().items() if "Default" in it
        }
        names = {NO_VALUE: None} | defaults | dict(resolved_names or {})
        return _Resolver(
            names, self.document.get("Conditions", {}), self.document.get("Mappings", {})
        ).resolve(value)

    def _property(self, function_id: str, name: str) -> Any:
        own = self.resources(FUNCTION)[function_id]["Properties"]
        return own[name] if name in own else self.defaults()[name]


def load(path: Path) -> Template:
    """Read a template from a YAML file."""
    document = _Loader(path.read_text(encoding="utf-8")).get_single_data()
    return Template(expand(document), path.parent)


def create_resources(
    template: Template, dynamodb: "DynamoDBClient", s3: "S3Client", prefix: str
) -> dict[str, str]:
    """Create the template's tables and buckets where they are not there yet; wait for them.

    Answers their names by logical id, fit to be ``resolved_names``. Safe to repeat. Keys are not
    made: who is given an empty ARN does without.
    """
    names = {f"{key}.Arn": "" for key in template.resources(KEY)}
    for table in template.tables():
        names[table.logical_id] = physical_name(prefix, table.logical_id)
        _create_table(dynamodb, table, names[table.logical_id])
    for bucket in template.buckets():
        names[bucket.logical_id] = physical_name(prefix, bucket.logical_id)
        _create_bucket(s3, bucket, names[bucket.logical_id])
    return names


def physical_name(prefix: str, logical_id: str) -> str:
    """The name of a created resource, in lower case as a bucket's has to be."""
    return f"{prefix}-{logical_id.lower()}"


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short tags in their long form: ``!Ref x`` as ``{"Ref": "x"}``."""


def _short_tag(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    elif isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    else:
        raise yaml.constructor.ConstructorError(None, None, f"!{tag} of a map", node.start_mark)
    if tag == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {tag if tag == "Ref" else f"Fn::{tag}": value}


_Loader.add_multi_constructor("!", _short_tag)


def _variables(properties: Mapping[str, Any]) -> dict[str, Any]:
    variables: dict[str, Any] = properties.get("Environment", {}).get("Variables", {})
    return variables


class _Resolver:
    """Replaces intrinsics, given what names stand for, and the template's conditions and maps."""

    def __init__(
        self, names: Mapping[str, Any], conditions: Mapping[str, Any], mappings: Mapping[str, Any]
    ) -> None:
        self._names = names
        self._conditions = conditions
        self._mappings = mappings
        self._intrinsics: Mapping[str, Callable[[Any], Any]] = {
            "Ref": self._name,
            "Fn::GetAtt": lambda path: self._name(".".join(path)),
            "Fn::Sub": lambda text: _PLACEHOLDER.sub(lambda m: str(self._name(m[1])), text),
            "Fn::If": self._if,
            "Fn::Join": lambda parts: parts[0].join(map(str, self.resolve(parts[1]))),
            "Fn::Equals": lambda sides: self.resolve(sides[0]) == self.resolve(sides[1]),
            "Fn::Not": lambda condition: not self.resolve(condition[0]),
            "Fn::FindInMap": self._find_in_map,
        }

    def resolve(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self.resolve(item) for item in value]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((name, argument),) = value.items()
            if name in self._intrinsics:
                return self._intrinsics[name](argument)
            if name.startswith("Fn::"):
                raise NotImplementedError(f"infra.template does not know {name}")
        return {key: self.resolve(item) for key, item in value.items()}

    def _name(self, name: str) -> Any:
        try:
            return self._names[name]
        except KeyError:
            raise UnresolvedReference(f"no value is given for {name!r}") from None

    def _find_in_map(self, argument: list[Any]) -> Any:
        name, first, second = self.resolve(argument)
        return self._mappings[name][first][second]

    def _if(self, argument: list[Any]) -> Any:
        condition, then, otherwise = argument
        return self.resolve(then if self.resolve(self._conditions[condition]) else otherwise)


def _table(logical_id: str, properties: Mapping[str, Any]) -> Table:
    known = ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")
    schema = {key: properties[key] for key in known if key in properties}
    ttl = properties.get("TimeToLiveSpecification", {})
    return Table(logical_id, schema, ttl.get("AttributeName"))


def _create_table(dynamodb: "DynamoDBClient", table: Table, name: str) -> None:
    with suppress(dynamodb.exceptions.ResourceInUseException):
        dynamodb.create_table(TableName=name, **table.schema)
    dynamodb.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1})
    if table.ttl_attribute is None:
        return
    ttl = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    # DynamoDB refuses to enable what is enabled.
    if ttl.get("AttributeName") != table.ttl_attribute:
        dynamodb.update_time_to_live(
            TableName=name,
            TimeToLiveSpecification={"AttributeName": table.ttl_attribute, "Enabled": True},
        )


def _create_bucket(s3: "S3Client", bucket: Bucket, name: str) -> None:
    options: Any = {"Bucket": name}
    # us-east-1 is the one region that must not be named.
    if s3.meta.region_name != "us-east-1":
        options["CreateBucketConfiguration"] = {"LocationConstraint": s3.meta.region_name}
    with suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(**options)
    if bucket.versioned:
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
