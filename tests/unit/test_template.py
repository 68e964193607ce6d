"""The template: what the reader makes of it, and the rules that the stack keeps."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from infra.local.environment import PREFIX
from infra.template import (
    API,
    BUCKET,
    FUNCTION,
    TABLE,
    Template,
    UnresolvedReference,
    create_resources,
    load,
    physical_name,
)

ROOT = Path(__file__).parents[2]
NAMES = {"SessionsTable": "sessions", "UsersTable": "users", "Bucket": "results"}


@pytest.fixture(scope="module")
def template() -> Template:
    return load(ROOT / "template.yaml")


def read(folder: Path, text: str) -> Template:
    (folder / "template.yaml").write_text(text)
    return load(folder / "template.yaml")


class TestReader:
    def test_lists_the_routes_and_who_answers_them(self, template: Template) -> None:
        routes = [(route.method, route.path, route.function_id) for route in template.routes()]
        assert routes == [
            ("POST", "/models/{model_id}/predict", "PredictFunction"),
            ("GET", "/tracks/{track_id}/similar", "PredictFunction"),
            ("GET", "/models", "PredictFunction"),
            ("GET", "/health", "PredictFunction"),
            ("POST", "/perform_ab_test", "AbTestFunction"),
            ("GET", "/ab_test/results", "AbTestFunction"),
            ("DELETE", "/ab_test/results", "AbTestFunction"),
            ("GET", "/users/{user_id}/recommendations", "AbTestFunction"),
            ("GET", "/experiments", "AbTestFunction"),
            ("PUT", "/experiments/{name}", "AbTestFunction"),
            ("POST", "/users/{user_id}/events", "EventsFunction"),
            ("GET", "/users/{user_id}/events", "EventsFunction"),
            ("PUT", "/users/{user_id}", "EventsFunction"),
            ("GET", "/users/{user_id}", "EventsFunction"),
            ("GET", "/users/{user_id}/export", "EventsFunction"),
            ("DELETE", "/users/{user_id}", "EventsFunction"),
            ("GET", "/ab_test/report", "AbReportFunction"),
        ]

    def test_gives_a_function_the_global_environment_and_its_own(self, template: Template) -> None:
        environment = template.environment("PredictFunction", NAMES)
        assert environment["SESSIONS_TABLE"] == "sessions"
        assert environment["BUCKET"] == "results"
        assert environment["SEGUE_AS_OF"] == ""
        assert environment["POWERTOOLS_SERVICE_NAME"] == "predict"

    def test_refuses_a_reference_that_nobody_resolves(self, template: Template) -> None:
        with pytest.raises(UnresolvedReference, match="'SessionsTable'"):
            template.environment("PredictFunction", {})

    def test_finds_the_code_and_layers_of_every_function(self, template: Template) -> None:
        for function_id in template.functions():
            module = template.handler(function_id).partition(".")[0]
            assert (template.code_uri(function_id) / f"{module}.py").is_file()
            assert template.layers(function_id)[:2] == ["CoreLayer", "RuntimeLayer"]

    def test_adds_a_functions_layers_to_those_of_all(self, template: Template) -> None:
        own = {
            function_id: template.layers(function_id)[2:] for function_id in template.functions()
        }
        assert own == {
            "PredictFunction": ["ModelsLayer"],
            "AbTestFunction": ["ModelsLayer"],
            "EventsFunction": [],
            "AbReportFunction": ["StatsLayer"],
            "MaintenanceFunction": [],
        }

    def test_resolves_intrinsics(self, tmp_path: Path) -> None:
        template = read(
            tmp_path,
            """
            Parameters: {Stage: {Type: String, Default: dev}, Key: {Type: String}}
            Conditions: {IsProd: !Equals [!Ref Stage, prod]}
            Resources: {}
            """,
        )
        value = {
            "ref": {"Ref": "Stage"},
            "sub": {"Fn::Sub": "${Table.Arn}/${AWS::Region}"},
            "att": {"Fn::GetAtt": ["Table", "Arn"]},
            "if": [{"Fn::If": ["IsProd", 90, 14]}],
        }
        names = {"Table.Arn": "arn:x", "AWS::Region": "eu-central-1"}
        assert template.resolve(value, names) == {
            "ref": "dev",
            "sub": "arn:x/eu-central-1",
            "att": "arn:x",
            "if": [14],
        }

    def test_refuses_a_parameter_without_a_default(self, tmp_path: Path) -> None:
        template = read(tmp_path, "{Parameters: {Key: {Type: String}}, Resources: {}}")
        with pytest.raises(UnresolvedReference, match="'Key'"):
            template.resolve({"Ref": "Key"})

    def test_refuses_an_intrinsic_that_it_does_not_know(self, tmp_path: Path) -> None:
        template = read(tmp_path, "{Resources: {}}")
        with pytest.raises(NotImplementedError, match="Fn::ImportValue"):
            template.resolve({"Fn::ImportValue": "x"})


class TestSampleEnvironment:
    """``infra/env.json``, for ``sam local``, which passes on only what the template declares."""

    @pytest.fixture
    def variables(self) -> dict[str, str]:
        sample: dict[str, dict[str, str]] = json.loads((ROOT / "infra/env.json").read_bytes())
        return sample["Parameters"]

    def test_sets_only_variables_that_the_functions_have(
        self, template: Template, variables: dict[str, str]
    ) -> None:
        for function_id in template.functions():
            assert variables.keys() <= template.environment(function_id, NAMES).keys()

    def test_names_the_tables_and_the_bucket_of_the_local_stack(
        self, template: Template, variables: dict[str, str]
    ) -> None:
        names = {logical_id: physical_name(PREFIX, logical_id) for logical_id in NAMES}
        environment = template.environment("PredictFunction", names)
        for variable in ("SESSIONS_TABLE", "USERS_TABLE", "BUCKET"):
            assert variables[variable] == environment[variable]


class TestCreateResources:
    @pytest.fixture(params=["us-east-1", "eu-central-1"])
    def clients(
        self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[tuple[Any, Any]]:
        monkeypatch.setenv("AWS_DEFAULT_REGION", request.param)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        with mock_aws():
            yield boto3.client("dynamodb"), boto3.client("s3")

    def test_creates_tables_and_bucket_as_the_template_has_them(
        self, template: Template, clients: tuple[Any, Any]
    ) -> None:
        dynamodb, s3 = clients
        names = create_resources(template, dynamodb, s3, "segue-test")
        assert names == {
            "SessionsTable": "segue-test-sessionstable",
            "UsersTable": "segue-test-userstable",
            "Bucket": "segue-test-bucket",
        }
        sessions = dynamodb.describe_table(TableName=names["SessionsTable"])["Table"]
        assert [(key["AttributeName"], key["KeyType"]) for key in sessions["KeySchema"]] == [
            ("user_id", "HASH"),
            ("start", "RANGE"),
        ]
        ttl = dynamodb.describe_time_to_live(TableName=names["SessionsTable"])
        assert ttl["TimeToLiveDescription"]["AttributeName"] == "expires_at"
        assert s3.get_bucket_versioning(Bucket=names["Bucket"])["Status"] == "Enabled"

    def test_leaves_what_is_there_alone(self, template: Template, clients: tuple[Any, Any]) -> None:
        dynamodb, s3 = clients
        names = create_resources(template, dynamodb, s3, "segue-test")
        dynamodb.put_item(TableName=names["UsersTable"], Item={"user_id": {"S": "429"}})
        s3.put_object(Bucket=names["Bucket"], Key="ab/kept", Body=b"")
        assert create_resources(template, dynamodb, s3, "segue-test") == names
        assert dynamodb.scan(TableName=names["UsersTable"])["Count"] == 1
        assert s3.list_objects_v2(Bucket=names["Bucket"])["KeyCount"] == 1


class TestStack:
    def test_every_route_demands_authorisation(self, template: Template) -> None:
        (api,) = template.resources(API).values()
        assert api["Properties"]["Auth"]["DefaultAuthorizer"] == "AWS_IAM"
        for event in events(template):
            assert event["RestApiId"] == {"Ref": "Api"}
            assert "Auth" not in event, "no route may loosen what the API demands"

    def test_every_table_is_encrypted_and_recoverable(self, template: Template) -> None:
        for table in template.resources(TABLE).values():
            properties = table["Properties"]
            assert properties["SSESpecification"] == {"SSEEnabled": True}
            assert properties["PointInTimeRecoverySpecification"] == {
                "PointInTimeRecoveryEnabled": True
            }

    @pytest.mark.parametrize(
        ("stage", "protected", "policy"),
        [("dev", False, "Delete"), ("staging", False, "Delete"), ("prod", True, "Retain")],
    )
    def test_production_keeps_its_tables(
        self, template: Template, stage: str, protected: bool, policy: str
    ) -> None:
        for table in template.resources(TABLE).values():
            resolved = template.resolve(table, {"Stage": stage})
            assert resolved["Properties"]["DeletionProtectionEnabled"] is protected
            assert resolved["DeletionPolicy"] == policy

    def test_every_bucket_is_private_encrypted_versioned_and_kept(self, template: Template) -> None:
        for bucket in template.resources(BUCKET).values():
            properties = bucket["Properties"]
            assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
            assert len(properties["PublicAccessBlockConfiguration"]) == 4
            assert properties["BucketEncryption"]
            assert properties["VersioningConfiguration"] == {"Status": "Enabled"}
            assert bucket["DeletionPolicy"] == "RetainExceptOnCreate"

    def test_every_bucket_refuses_what_is_not_encrypted_on_its_way(
        self, template: Template
    ) -> None:
        policies = template.resources("AWS::S3::BucketPolicy").values()
        guarded = {policy["Properties"]["Bucket"]["Ref"] for policy in policies}
        assert guarded == set(template.resources(BUCKET))
        for policy in policies:
            (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]
            assert statement["Effect"] == "Deny"
            assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}

    def test_nothing_is_allowed_wholesale(self, template: Template) -> None:
        allowed = list(allow_statements(template))
        assert allowed
        for statement in allowed:
            for action in listed(statement["Action"]):
                assert "*" not in action
            assert "*" not in listed(statement["Resource"])

    def test_the_bucket_is_touched_only_below_ab_and_nothing_that_answers_tests_deletes(
        self, template: Template
    ) -> None:
        granted = {
            (function_id, action, str(resource))
            for function_id, function in template.resources(FUNCTION).items()
            for policy in function["Properties"]["Policies"]
            for statement in policy["Statement"]
            for action in listed(statement["Action"])
            for resource in listed(statement["Resource"])
            if action.startswith("s3:")
        }
        objects = str({"Fn::Sub": "${Bucket.Arn}/ab/*"})
        bucket = str({"Fn::GetAtt": ["Bucket", "Arn"]})
        assert granted == {
            ("AbTestFunction", "s3:GetObject", objects),
            ("AbTestFunction", "s3:PutObject", objects),
            ("AbTestFunction", "s3:ListBucket", bucket),
            ("EventsFunction", "s3:GetObject", objects),
            ("EventsFunction", "s3:PutObject", objects),
            ("EventsFunction", "s3:DeleteObject", objects),
            ("EventsFunction", "s3:ListBucket", bucket),
            ("AbReportFunction", "s3:GetObject", objects),
            ("AbReportFunction", "s3:ListBucket", bucket),
            ("MaintenanceFunction", "s3:GetObject", objects),
            ("MaintenanceFunction", "s3:PutObject", objects),
            ("MaintenanceFunction", "s3:DeleteObject", objects),
            ("MaintenanceFunction", "s3:ListBucket", bucket),
        }

    def test_clients_may_not_delete_or_change_experiments(self, template: Template) -> None:
        policy = template.resources("AWS::IAM::ManagedPolicy")["ClientPolicy"]
        (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]
        paths = [arn["Fn::Sub"].partition("${Stage}/")[2] for arn in statement["Resource"]]
        methods = {path.partition("/")[0] for path in paths}
        assert methods == {"GET", "POST", "PUT"}
        # What a client may put is a profile, and never an experiment.
        assert [path for path in paths if path.startswith("PUT")] == ["PUT/users/*"]

    def test_logs_are_kept_for_a_while_and_not_for_ever(self, template: Template) -> None:
        groups = template.resources("AWS::Logs::LogGroup")
        for function in template.resources(FUNCTION).values():
            group = groups[function["Properties"]["LoggingConfig"]["LogGroup"]["Ref"]]
            assert template.resolve(group["Properties"]["RetentionInDays"]) > 0


def events(template: Template) -> Iterator[dict[str, Any]]:
    for function in template.resources(FUNCTION).values():
        for event in function["Properties"]["Events"].values():
            assert event["Type"] in {"Api", "Schedule"}
            if event["Type"] == "Api":
                yield event["Properties"]


def allow_statements(template: Template) -> Iterator[dict[str, Any]]:
    for function in template.resources(FUNCTION).values():
        for policy in function["Properties"]["Policies"]:
            assert isinstance(policy, dict), "a managed policy by name may allow anything"
            yield from policy["Statement"]
    for policy in template.resources("AWS::IAM::ManagedPolicy").values():
        yield from policy["Properties"]["PolicyDocument"]["Statement"]


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
