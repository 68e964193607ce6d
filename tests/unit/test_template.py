"""The template: what the reader makes of it, and the rules that the stack keeps."""

import json
import re
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatchcase
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
from segue.domain import errors
from tests.stacks import whole
from tests.unit.test_listeners import REQUESTS

ROOT = Path(__file__).parents[2]
API_SOURCES = "layers/core/segue/api"
ALARM = "AWS::CloudWatch::Alarm"
ACCOUNT = {"Ref": "AWS::AccountId"}
PAGES = {"GET /", "GET /assets/{file}", "GET /docs", "GET /openapi.json"}
NAMES = {
    "SessionsTable": "sessions",
    "UsersTable": "users",
    "TracksTable": "tracks",
    "ExposuresTable": "exposures",
    "Bucket": "results",
    "EventsFunction": "events",
    "BundleKey.Arn": "",
}


@pytest.fixture(scope="module")
def template() -> Template:
    return whole()


def read(folder: Path, text: str) -> Template:
    (folder / "template.yaml").write_text(text)
    return load(folder / "template.yaml")


class TestReader:
    def test_lists_the_routes_and_who_answers_them(self, template: Template) -> None:
        routes = [(route.method, route.path, route.function_id) for route in template.routes()]
        assert routes == [
            ("POST", "/models/{model_id}/predict", "PredictFunction"),
            ("GET", "/tracks", "PredictFunction"),
            ("GET", "/tracks/{track_id}", "PredictFunction"),
            ("GET", "/genres", "PredictFunction"),
            ("GET", "/tracks/{track_id}/similar", "PredictFunction"),
            ("GET", "/models", "PredictFunction"),
            ("GET", "/health", "PredictFunction"),
            ("POST", "/perform_ab_test", "AbTestFunction"),
            ("GET", "/ab_test/results", "AbTestFunction"),
            ("DELETE", "/ab_test/results", "AbTestFunction"),
            ("GET", "/users/{user_id}/recommendations", "AbTestFunction"),
            ("GET", "/experiments", "AbTestFunction"),
            ("PUT", "/experiments/{name}", "AbTestFunction"),
            ("GET", "/experiments/{name}", "AbTestFunction"),
            ("DELETE", "/experiments/{name}", "AbTestFunction"),
            ("POST", "/experiments/{name}/dry_run", "AbTestFunction"),
            ("GET", "/layers", "AbTestFunction"),
            ("PUT", "/layers/{name}", "AbTestFunction"),
            ("GET", "/users", "EventsFunction"),
            ("PUT", "/tracks/{track_id}", "EventsFunction"),
            ("POST", "/users/{user_id}/events", "EventsFunction"),
            ("GET", "/users/{user_id}/events", "EventsFunction"),
            ("PUT", "/users/{user_id}", "EventsFunction"),
            ("GET", "/users/{user_id}", "EventsFunction"),
            ("GET", "/users/{user_id}/export", "EventsFunction"),
            ("DELETE", "/users/{user_id}", "EventsFunction"),
            ("GET", "/ab_test/report", "AbReportFunction"),
            ("POST", "/experiments/{name}/ship", "AbReportFunction"),
            ("GET", "/ab_test/overview", "AbReportFunction"),
            ("GET", "/", "PagesFunction"),
            ("GET", "/assets/{file}", "PagesFunction"),
            ("GET", "/docs", "PagesFunction"),
            ("GET", "/openapi.json", "PagesFunction"),
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
            "EventsFunction": ["ModelsLayer"],
            "AbReportFunction": ["StatsLayer"],
            "PagesFunction": [],
            "MaintenanceFunction": [],
            "BatchFunction": ["ModelsLayer"],
            "ReleaseCheckFunction": [],
        }

    def test_reserves_concurrency_for_maintenance_alone_and_only_where_it_is_wanted(
        self, template: Template
    ) -> None:
        assert not any(template.reserved_concurrency(it) for it in template.functions())
        wanted = {
            function_id: template.resolve(reserved, {"ReserveConcurrency": "true"})
            for function_id, function in template.resources(FUNCTION).items()
            if (reserved := function["Properties"].get("ReservedConcurrentExecutions"))
        }
        assert wanted == {"MaintenanceFunction": 1}

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
        tables = ("SESSIONS_TABLE", "USERS_TABLE", "TRACKS_TABLE", "EXPOSURES_TABLE")
        for variable in (*tables, "BUCKET"):
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
            "TracksTable": "segue-test-trackstable",
            "ExposuresTable": "segue-test-exposurestable",
            "Bucket": "segue-test-bucket",
            "BundleKey.Arn": "",
            "AlarmKey.Arn": "",
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
            if event["Method"] != "OPTIONS":
                assert "Auth" not in event, "no route may loosen what the API demands"

    def test_every_route_but_the_pages_has_a_preflight_that_can_do_nothing(
        self, template: Template
    ) -> None:
        preflights = [event for event in events(template) if event["Method"] == "OPTIONS"]
        pages = {"/", "/docs", "/assets/{file}"}
        paths = [event["Path"] for event in preflights]
        assert sorted(paths) == sorted({route.path for route in template.routes()} - pages)
        # Who answers it, has no rights that it could lend.
        answering = template.resources(FUNCTION)["PagesFunction"]["Properties"]
        assert not {event["Path"] for event in preflights} - {
            event["Properties"]["Path"] for event in answering["Events"].values()
        }
        assert "Policies" not in answering

    def test_cors_is_off_unless_websites_are_listed(self, template: Template) -> None:
        (api,) = template.resources(API).values()
        answers = api["Properties"]["GatewayResponses"].values()
        for parameters in (it["ResponseParameters"] for it in answers):
            allowed = parameters["Headers"]["Access-Control-Allow-Origin"]["Fn::If"]
            assert (allowed[0], allowed[2]) == ("AllowsCors", {"Ref": "AWS::NoValue"})
        assert template.resolve({"Fn::If": ["AllowsCors", True, False]}) is False
        environment = template.environment("PredictFunction", NAMES)
        assert environment["CORS_ORIGINS"] == ""

    @pytest.mark.parametrize(
        ("origins", "taken"),
        [
            ("", True),
            ("https://music.example.org", True),
            ("https://music.example.org, http://[::1]:3000", True),
            ("*", False),
            ("https://music.example.org/", False),
            ("music.example.org", False),
            ("https://*.example.org", False),
        ],
    )
    def test_websites_are_listed_by_their_origins(
        self, template: Template, origins: str, taken: bool
    ) -> None:
        pattern = template.parameters()["CorsOrigins"]["AllowedPattern"]
        assert bool(re.fullmatch(pattern, origins)) is taken

    def test_every_table_is_encrypted_and_recoverable(self, template: Template) -> None:
        for table in template.resources(TABLE).values():
            properties = table["Properties"]
            assert template.resolve(properties["SSESpecification"]) == {
                "SSEEnabled": True,
                "SSEType": "KMS",
                "KMSMasterKeyId": None,
            }
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
            allowed_actions = listed(statement["Action"])
            assert not [action for action in allowed_actions if "*" in action]
            # Traces are the one thing that AWS keeps in no resource.
            everywhere = "*" in listed(statement["Resource"])
            assert everywhere == all(action.startswith("xray:") for action in allowed_actions)

    def test_what_answers_tests_deletes_nothing_and_no_function_changes_models(
        self, template: Template
    ) -> None:
        for function_id in ("PredictFunction", "AbTestFunction", "AbReportFunction"):
            assert not [it for it in actions(template, function_id) if "Delete" in it]
        for statement in allow_statements(template):
            if {"Fn::Sub": "${Bucket.Arn}/bundles/*"} in listed(statement["Resource"]):
                assert statement["Action"] in ("s3:GetObject", ["s3:GetObject", "s3:PutObject"])

    def test_no_function_is_without_its_bounds(self, template: Template) -> None:
        # SAM's own policy of a function lets it write any log of the account.
        own, given = {"Fn::GetAtt": ["Boundary", "Outputs.PolicyArn"]}, {"Ref": "RoleBoundary"}
        boundary = {"Fn::If": ["IsBounded", given, own]}
        assert template.defaults()["PermissionsBoundary"] == boundary
        for function in template.resources(FUNCTION).values():
            assert not {"PermissionsBoundary", "Role"} & function["Properties"].keys()

    @pytest.mark.parametrize(
        ("policy", "allowed"),
        [
            (
                "ClientPolicy",
                {
                    *PAGES,
                    "POST /models/{model_id}/predict",
                    "POST /perform_ab_test",
                    "POST /users/{user_id}/events",
                    "PUT /users/{user_id}",
                    "GET /users/{user_id}/recommendations",
                    "GET /tracks",
                    "GET /tracks/{track_id}",
                    "GET /tracks/{track_id}/similar",
                    "GET /genres",
                    "GET /models",
                    "GET /health",
                },
            ),
            (
                "ReaderPolicy",
                {
                    "GET /ab_test/results",
                    "GET /ab_test/report",
                    "GET /ab_test/overview",
                    "GET /experiments",
                    "GET /experiments/{name}",
                    "GET /layers",
                    "GET /models",
                    "GET /health",
                },
            ),
            (
                "PrivacyPolicy",
                {
                    "GET /users",
                    "GET /users/{user_id}",
                    "GET /users/{user_id}/events",
                    "GET /users/{user_id}/export",
                    # What is below a user cannot be told apart without a refusal.
                    "GET /users/{user_id}/recommendations",
                    "DELETE /users/{user_id}",
                    "GET /health",
                },
            ),
        ],
    )
    def test_each_kind_of_caller_may_call_what_it_is_there_for(
        self, template: Template, policy: str, allowed: set[str]
    ) -> None:
        assert allowed_routes(template, policy) == allowed

    def test_administrators_may_call_everything(self, template: Template) -> None:
        everything = {f"{route.method} {route.path}" for route in template.routes()}
        assert allowed_routes(template, "AdminPolicy") == everything

    def test_every_limit_of_calls_is_of_a_route_that_there_is(self, template: Template) -> None:
        (api,) = template.resources(API).values()
        all_methods, *single = template.resolve(api["Properties"]["MethodSettings"])
        assert (all_methods["HttpMethod"], all_methods["ResourcePath"]) == ("*", "/*")
        assert all_methods["ThrottlingRateLimit"] == 50
        routes = {(route.method, route.path) for route in template.routes()}
        limited = {
            (it["HttpMethod"], it["ResourcePath"].removeprefix("/").replace("~1", "/"))
            for it in single
        }
        assert limited == {route for route in routes if route[0] == "DELETE"} | {
            ("PUT", "/experiments/{name}"),
            ("PUT", "/layers/{name}"),
        }

    def test_the_access_log_names_requests_and_callers_and_no_listener(
        self, template: Template
    ) -> None:
        (api,) = template.resources(API).values()
        line = api["Properties"]["AccessLogSetting"]["Format"]
        logged = json.loads(re.sub(r"\$context\.[A-Za-z.]+", "0", line))
        assert {"request_id", "caller", "route", "status", "latency"} <= logged.keys()
        # The path names the listener, and the message of a refusal names the path.
        assert not {"$context.path", "$context.error.message"} & set(re.findall(r"\$[\w.]+", line))
        assert "$context.resourcePath" in line

    def test_no_trace_is_of_a_requests_path(self, template: Template) -> None:
        (api,) = template.resources(API).values()
        assert api["Properties"]["TracingEnabled"] is False
        assert template.defaults()["Tracing"] == "Active"

    def test_nobody_may_list_the_whole_bucket(self, template: Template) -> None:
        listings = [
            statement
            for statement in allow_statements(template)
            if "s3:ListBucket" in listed(statement["Action"])
        ]
        # Of the boundary, which allows nothing by itself, functions are given less.
        assert len([it for it in listings if "Condition" not in it]) == 1
        for statement in (it for it in listings if "Condition" in it):
            (condition,) = statement["Condition"].items()
            assert condition[0] == "StringLike"
            assert all(re.fullmatch(r"\w+/\*", it) for it in listed(condition[1]["s3:prefix"]))

    def test_logs_are_kept_for_a_while_and_not_for_ever(self, template: Template) -> None:
        groups = template.resources("AWS::Logs::LogGroup")
        for function in template.resources(FUNCTION).values():
            group = groups[function["Properties"]["LoggingConfig"]["LogGroup"]["Ref"]]
            assert template.resolve(group["Properties"]["RetentionInDays"]) > 0


class TestListeners:
    """The API at which a listener's token opens their own data: ``stacks/listeners.yaml``."""

    def routes(self, template: Template) -> set[tuple[str, str]]:
        found = template.resources("AWS::ApiGatewayV2::Route").values()
        return {(*route["Properties"]["RouteKey"].split(" "),) for route in found}

    def test_has_the_routes_that_the_functions_were_seen_to_guard(self, template: Template) -> None:
        guarded = {(method, path.format("{user_id}")) for _, method, path, _ in REQUESTS}
        assert self.routes(template) == guarded

    def test_has_every_route_below_a_user(self, template: Template) -> None:
        paths = {(it.method, it.path) for it in template.routes() if "{user_id}" in it.path}
        assert self.routes(template) == paths

    def test_no_route_is_without_a_token_and_each_reaches_its_function(
        self, template: Template
    ) -> None:
        answering = {f"{it.method} {it.path}": it.function_id for it in template.routes()}
        for route in template.resources("AWS::ApiGatewayV2::Route").values():
            properties = route["Properties"]
            assert properties["AuthorizationType"] == "JWT"
            assert properties["AuthorizerId"] == {"Ref": "ListenersToken"}
            name = properties["Target"]["Fn::Sub"].removeprefix("integrations/").strip("${}")
            integration = template.resources("AWS::ApiGatewayV2::Integration")[name]["Properties"]
            alias = {"Ref": f"{answering[properties['RouteKey']]}.Alias"}
            assert integration["IntegrationUri"] == alias
            # What the functions read of a token is in this format of their events.
            assert integration["PayloadFormatVersion"] == "1.0"

    def test_a_token_has_to_be_of_the_issuer_and_for_the_audience(self, template: Template) -> None:
        (authorizer,) = template.resources("AWS::ApiGatewayV2::Authorizer").values()
        assert authorizer["Properties"]["AuthorizerType"] == "JWT"
        assert authorizer["Properties"]["JwtConfiguration"] == {
            "Issuer": {"Ref": "JwtIssuer"},
            "Audience": [{"Ref": "JwtAudience"}],
        }

    def test_logs_no_path_and_no_claim(self, template: Template) -> None:
        (stage,) = template.resources("AWS::ApiGatewayV2::Stage").values()
        line = stage["Properties"]["AccessLogSettings"]["Format"]
        assert set(re.findall(r"\$context\.([\w.]+)", line)) == {
            "requestId",
            "requestTime",
            "httpMethod",
            "routeKey",
            "status",
            "responseLatency",
            "responseLength",
            "error.responseType",
        }


class TestEdge:
    """What an operator may put before the API, by a parameter each."""

    def test_nothing_of_it_is_there_unless_it_is_asked_for(self, template: Template) -> None:
        optional = ("IsPrivate", "HasEdge", "HasListeners", "HasKey", "IsBounded")
        assert [template.resolve({"Fn::If": [it, 1, 0]}) for it in optional] == [0] * len(optional)
        (api,) = template.resources(API).values()
        assert template.resolve(api["Properties"]["Auth"]["ApiKeyRequired"]) == ""
        root = load(ROOT / "template.yaml").resources("AWS::CloudFormation::Stack")
        assert {name: it["Condition"] for name, it in root.items() if "Condition" in it} == {
            "Edge": "HasEdge",
            "Listeners": "HasListeners",
        }

    def test_a_domain_takes_no_older_tls(self, template: Template) -> None:
        (domain,) = template.resources("AWS::ApiGateway::DomainName").values()
        assert domain["Properties"]["SecurityPolicy"] == "TLS_1_2"

    def test_a_client_has_a_rate_and_a_quota(self, template: Template) -> None:
        (plan,) = template.resources("AWS::ApiGateway::UsagePlan").values()
        throttle, quota = (template.resolve(plan["Properties"][it]) for it in ("Throttle", "Quota"))
        assert throttle == {"RateLimit": 20, "BurstLimit": 20}
        assert quota == {"Limit": 100_000, "Period": "DAY"}

    def test_a_private_api_answers_its_endpoint_alone(self, template: Template) -> None:
        (api,) = template.resources(API).values()
        private = {"VpcEndpointId": "vpce-1"}
        assert template.resolve(api["Properties"]["EndpointConfiguration"], private) == {
            "Type": "PRIVATE",
            "VPCEndpointIds": ["vpce-1"],
        }
        statements = api["Properties"]["Auth"]["ResourcePolicy"]["CustomStatements"]
        preflights, others = template.resolve(statements, private)
        assert (preflights["Effect"], preflights["Resource"]) == (
            "Allow",
            "execute-api:/*/OPTIONS/*",
        )
        assert others["Effect"] == "Deny"
        assert others["Condition"] == {"StringNotEquals": {"aws:SourceVpce": "vpce-1"}}
        assert template.resolve(statements)[1] is None

    def test_a_key_of_ones_own_encrypts_whatever_holds_a_listener(self, template: Template) -> None:
        given = {"KmsKeyArn": "arn:key"}
        for table in template.resources(TABLE).values():
            specification = template.resolve(table["Properties"]["SSESpecification"], given)
            assert specification["KMSMasterKeyId"] == "arn:key"
        (bucket,) = template.resources(BUCKET).values()
        (rule,) = template.resolve(bucket["Properties"]["BucketEncryption"], given).values()
        assert rule[0]["ServerSideEncryptionByDefault"] == {
            "SSEAlgorithm": "aws:kms",
            "KMSMasterKeyID": "arn:key",
        }
        for group in template.resources("AWS::Logs::LogGroup").values():
            assert template.resolve(group["Properties"]["KmsKeyId"], given) == "arn:key"


class TestBatch:
    """The state machine that makes lists for everybody."""

    MACHINE = "arn:aws:states:eu-central-1:123456789012:stateMachine:segue-dev-batch"

    @pytest.fixture
    def machine(self, template: Template) -> dict[str, Any]:
        names = {"BatchFunction.Arn": "arn:batch", "AWS::Partition": "aws"}
        (machine,) = template.resources("AWS::StepFunctions::StateMachine").values()
        text = template.resolve(machine["Properties"]["DefinitionString"], names)
        parsed: dict[str, Any] = json.loads(text)
        return parsed

    @pytest.fixture
    def shards(self, machine: dict[str, Any]) -> dict[str, Any]:
        states: dict[str, Any] = machine["States"]["Make the lists"]
        return states

    def test_shards_are_executions_of_their_own_and_not_too_many_at_once(
        self, template: Template, shards: dict[str, Any]
    ) -> None:
        processor = shards["ItemProcessor"]["ProcessorConfig"]
        # An express one ends after five minutes.
        assert processor == {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
        assert shards["MaxConcurrency"] == template.parameters()["BatchConcurrency"]["Default"]
        # No shard may fail for good.
        assert not [name for name in shards if name.startswith("Tolerated")]

    def test_a_shard_is_tried_again_unless_it_can_never_be_made(
        self, shards: dict[str, Any]
    ) -> None:
        (task,) = shards["ItemProcessor"]["States"].values()
        hopeless, others = task["Retry"]
        assert hopeless == {"ErrorEquals": ["InvalidRequest", "UnknownModel"], "MaxAttempts": 0}
        for error in hopeless["ErrorEquals"]:
            assert issubclass(getattr(errors, error), errors.SegueError)
        assert others["ErrorEquals"] == ["States.ALL"]
        assert others["BackoffRate"] > 1
        assert others["MaxAttempts"] > 0

    def test_no_try_is_given_up_before_the_function_is(
        self, template: Template, shards: dict[str, Any]
    ) -> None:
        (task,) = shards["ItemProcessor"]["States"].values()
        assert task["TimeoutSeconds"] > template.timeout("BatchFunction")

    def test_its_role_may_call_that_function_and_begin_itself_and_no_more(
        self, template: Template
    ) -> None:
        names = {
            "BatchFunction.Arn": "arn:batch",
            "AWS::Partition": "aws",
            "AWS::Region": "eu-central-1",
            "AWS::AccountId": "123456789012",
            "AWS::StackName": "segue-dev",
        }
        (policy,) = template.resources("AWS::IAM::Role")["BatchRole"]["Properties"]["Policies"]
        call, begin, follow, rest = template.resolve(policy["PolicyDocument"]["Statement"], names)
        assert (call["Action"], call["Resource"]) == ("lambda:InvokeFunction", "arn:batch:live")
        assert (begin["Action"], begin["Resource"]) == ("states:StartExecution", self.MACHINE)
        own = self.MACHINE.replace("stateMachine", "execution")
        assert follow["Resource"] == [f"{own}:*", f"{own}/*"]
        assert {action.partition(":")[0] for action in rest["Action"]} == {"logs", "xray"}
        (machine,) = template.resources("AWS::StepFunctions::StateMachine").values()
        name = template.resolve(machine["Properties"]["StateMachineName"], names)
        assert self.MACHINE.endswith(f":{name}")


class TestReleases:
    @pytest.mark.parametrize(
        ("stage", "rollout", "gradual", "shift"),
        [
            ("dev", "Gradual", "false", "AllAtOnce"),
            ("staging", "Gradual", "true", "Canary10Percent5Minutes"),
            ("prod", "Gradual", "true", "Canary10Percent15Minutes"),
            ("prod", "AtOnce", "false", "Canary10Percent15Minutes"),
        ],
    )
    def test_a_new_version_is_tried_on_few_calls_where_listeners_are(
        self, template: Template, stage: str, rollout: str, gradual: str, shift: str
    ) -> None:
        preference = template.defaults()["DeploymentPreference"]
        names = {"Stage": stage, "Rollout": rollout, "ReleaseCheckFunction": "check"}
        assert template.resolve(preference, names) == {
            "Enabled": gradual,
            "Type": shift,
            "Hooks": {"PreTraffic": "check"},
        }

    def test_codedeploy_may_call_what_checks_a_release(self, template: Template) -> None:
        # Its own role, AWSCodeDeployRoleForLambda, allows functions of such names alone.
        check = template.resources(FUNCTION)["ReleaseCheckFunction"]["Properties"]
        assert check["FunctionName"]["Fn::Sub"].startswith("CodeDeployHook_")
        assert not template.resources(FUNCTION)["ReleaseCheckFunction"]["Properties"].get("Events")

    def test_callers_get_an_alias_and_a_changed_layer_is_a_new_version(
        self, template: Template
    ) -> None:
        assert template.defaults()["AutoPublishAlias"] == "live"
        for function in template.resources(FUNCTION).values():
            assert function["Properties"]["AutoPublishAliasAllProperties"] is True
        for layer in template.resources("AWS::Serverless::LayerVersion").values():
            assert layer["Properties"]["PublishLambdaVersion"] is True

    def test_a_release_goes_back_when_an_alarm_of_the_very_version_rings(
        self, template: Template
    ) -> None:
        called = {route.function_id for route in template.routes()}
        for function_id, function in template.resources(FUNCTION).items():
            preference = function["Properties"]["DeploymentPreference"]
            if function_id not in called:
                assert preference == {"Enabled": False}
                continue
            alarm = function_id.replace("Function", "ReleaseAlarm")
            output = {"Fn::GetAtt": ["Monitoring", f"Outputs.{alarm}"]}
            assert preference["Alarms"] == {"Fn::If": ["IsGradual", [output], []]}
            version = {"Fn::GetAtt": [function_id, "Version.Version"]}
            properties = template.resources(ALARM)[alarm]["Properties"]
            # An alarm that rings for the version before would keep its successor out.
            assert version in properties["AlarmName"]["Fn::Join"][1]
            watched = [metric["MetricStat"]["Metric"] for metric in properties["Metrics"][:-1]]
            assert [it["MetricName"] for it in watched] == ["Errors", "Invocations", "Faults"]
            assert all(it["Dimensions"][-1]["Value"] == version for it in watched)

    def test_whoever_waits_for_an_answer_waits_for_no_start(self, template: Template) -> None:
        called = {route.function_id for route in template.routes()}
        assert template.defaults()["SnapStart"] == {"ApplyOn": "PublishedVersions"}
        cold = {
            function_id
            for function_id, function in template.resources(FUNCTION).items()
            if function["Properties"].get("SnapStart") == {"ApplyOn": "None"}
        }
        assert cold == set(template.resources(FUNCTION)) - called


class TestOperations:
    def test_what_a_schedule_runs_leaves_its_failures_where_an_alarm_sees_them(
        self, template: Template
    ) -> None:
        scheduled = {
            function_id
            for function_id, function in template.resources(FUNCTION).items()
            for event in function["Properties"].get("Events", {}).values()
            # A canary's failure is told at once, and made up for by nothing.
            if event["Type"] == "Schedule" and function_id != "CanaryFunction"
        }
        queued = {
            function_id: function["Properties"]["DeadLetterQueue"]["TargetArn"]
            for function_id, function in template.resources(FUNCTION).items()
            if "DeadLetterQueue" in function["Properties"]
        }
        assert queued == {it: {"Fn::GetAtt": ["DeadLetters", "Arn"]} for it in scheduled}
        watched = template.resources(ALARM)["DeadLettersAlarm"]["Properties"]["Dimensions"]
        assert watched == [
            {"Name": "QueueName", "Value": {"Fn::GetAtt": ["DeadLetters", "QueueName"]}}
        ]

    def test_every_alarm_is_told_and_so_is_its_end(self, template: Template) -> None:
        topic = {"Ref": "AlarmTopic"}, {"Fn::GetAtt": ["Monitoring", "Outputs.TopicArn"]}
        for name, alarm in template.resources(ALARM).items():
            (told,) = alarm["Properties"]["AlarmActions"]
            assert told in topic
            # An alarm of a version is over with its release.
            assert name.endswith("ReleaseAlarm") or alarm["Properties"]["OKActions"] == [told]

    def test_every_alarm_has_its_place_in_the_runbook_and_on_the_dashboard(
        self, template: Template
    ) -> None:
        runbook = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
        alarms = list(template.resources(ALARM))
        assert [alarm for alarm in alarms if f"`{alarm}`" not in runbook] == []
        shown = dashboard(template)["widgets"][0]["properties"]["alarms"]
        # What only some stages have cannot be named by a dashboard that all have.
        everywhere = [
            name for name, it in template.resources(ALARM).items() if "Condition" not in it
        ]
        assert sorted(shown) == sorted(f"arn:{alarm}" for alarm in everywhere)

    def test_every_metric_of_ours_that_is_watched_is_counted(self, template: Template) -> None:
        sources = [*(ROOT / "functions").glob("*/app.py"), *(ROOT / API_SOURCES).glob("*.py")]
        code = "".join(path.read_text(encoding="utf-8") for path in sources)
        watched = set(metric_names(template))
        assert {"Latency", "Fallbacks", "Sample ratio mismatches", "Refused bundles"} <= watched
        # Cold starts are counted by the library.
        assert [name for name in watched if f'"{name}"' not in code] == ["ColdStart"]

    def test_no_log_level_drops_the_metrics(self, template: Template) -> None:
        # To Lambda, a line without a level is of level INFO, and metrics are such lines.
        assert set(template.parameters()["LogLevel"]["AllowedValues"]) <= {"DEBUG", "INFO"}

    def test_the_dashboard_overlaps_nothing(self, template: Template) -> None:
        taken = [
            (x, y)
            for widget in dashboard(template)["widgets"]
            for x in range(widget["x"], widget["x"] + widget["width"])
            for y in range(widget["y"], widget["y"] + widget["height"])
        ]
        assert len(taken) == len(set(taken))
        assert max(x for x, _ in taken) == 23

    def test_queues_and_topics_are_encrypted_and_take_nothing_in_the_clear(
        self, template: Template
    ) -> None:
        (queue,) = template.resources("AWS::SQS::Queue").values()
        assert queue["Properties"]["SqsManagedSseEnabled"] is True
        (topic,) = template.resources("AWS::SNS::Topic").values()
        assert topic["Properties"]["KmsMasterKeyId"] == {"Ref": "AlarmKey"}
        for kind in ("AWS::SQS::QueuePolicy", "AWS::SNS::TopicPolicy"):
            (policy,) = template.resources(kind).values()
            refusals = [it for it in statements(policy) if it["Effect"] == "Deny"]
            assert [it["Condition"] for it in refusals] == [
                {"Bool": {"aws:SecureTransport": "false"}}
            ]

    def test_only_the_account_itself_may_do_anything_with_a_key(self, template: Template) -> None:
        keys = template.resources("AWS::KMS::Key")
        # The account alone, where a key has no policy.
        assert "KeyPolicy" not in keys["BundleKey"]["Properties"]
        assert keys["AlarmKey"]["Properties"]["EnableKeyRotation"] is True
        owner, alarms = keys["AlarmKey"]["Properties"]["KeyPolicy"]["Statement"]
        assert owner["Principal"]["AWS"]["Fn::Sub"].endswith(":${AWS::AccountId}:root")
        assert alarms["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]
        assert alarms["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}

    def test_models_are_signed_by_whoever_may_change_them_and_by_no_function(
        self, template: Template
    ) -> None:
        key = template.resources("AWS::KMS::Key")["BundleKey"]
        assert key["DeletionPolicy"] == {"Fn::If": ["IsProd", "Retain", "Delete"]}
        assert key["Properties"]["KeyUsage"] == "SIGN_VERIFY"
        policies = template.resources("AWS::IAM::ManagedPolicy")
        signing = [name for name, policy in policies.items() if "kms:Sign" in json.dumps(policy)]
        assert signing == ["ModelsPolicy"]
        functions = template.resources(FUNCTION)
        assert "kms:Sign" not in json.dumps(functions)
        verifying = {name for name, it in functions.items() if "kms:Verify" in json.dumps(it)}
        assert verifying == {name for name in functions if "ModelsLayer" in template.layers(name)}


class TestProduction:
    """What CloudFormation refuses before it changes anything."""

    @pytest.mark.parametrize(
        ("stage", "given", "refused"),
        [
            ("prod", {"AlarmEmail": "us@example.org"}, False),
            ("prod", {}, True),
            ("prod", {"AlarmEmail": "us@example.org", "AsOf": "2022-09-01T00:00:00Z"}, True),
            ("staging", {"AsOf": "2022-09-01T00:00:00Z"}, False),
        ],
    )
    def test_somebody_is_told_of_alarms_and_now_is_now(
        self, template: Template, stage: str, given: dict[str, str], refused: bool
    ) -> None:
        names = {"Stage": stage} | given
        broken = [
            assertion["AssertDescription"]
            for rule in template.document["Rules"].values()
            if template.resolve(rule.get("RuleCondition", True), names)
            for assertion in rule["Assertions"]
            if not template.resolve(assertion["Assert"], names)
        ]
        assert bool(broken) is refused

    def test_the_templates_are_short_enough_to_be_read(self) -> None:
        for path in (ROOT / "template.yaml", *(ROOT / "stacks").glob("*.yaml")):
            assert len(path.read_text(encoding="utf-8").splitlines()) <= 1_000, path


class TestStages:
    """``samconfig.toml``, which says how each stage is deployed."""

    @pytest.mark.parametrize("environment", ["default", "staging", "prod"])
    def test_a_stage_sets_parameters_that_the_template_takes(
        self, template: Template, environment: str
    ) -> None:
        settings = tomllib.loads((ROOT / "samconfig.toml").read_text())[environment]
        stage = environment if environment != "default" else "dev"
        assert settings["global"]["parameters"]["stack_name"] == f"segue-{stage}"
        deploy = settings["deploy"]["parameters"]
        given = dict(each.split("=", 1) for each in deploy["parameter_overrides"])
        assert given["Stage"] == stage
        for name, value in given.items():
            parameter = template.parameters()[name]
            assert value in parameter.get("AllowedValues", [value])
        assert f"stage={stage}" in deploy["tags"]


def events(template: Template) -> Iterator[dict[str, Any]]:
    for function in template.resources(FUNCTION).values():
        for event in function["Properties"].get("Events", {}).values():
            assert event["Type"] in {"Api", "Schedule"}
            if event["Type"] == "Api":
                yield event["Properties"]


def allow_statements(template: Template) -> Iterator[dict[str, Any]]:
    for function in template.resources(FUNCTION).values():
        for policy in function["Properties"].get("Policies", []):
            assert isinstance(policy, dict), "a managed policy by name may allow anything"
            yield from policy["Statement"]
    for policy in template.resources("AWS::IAM::ManagedPolicy").values():
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
            # What is allowed on a condition counts as allowed.
            yield statement["Fn::If"][1] if "Fn::If" in statement else statement


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def actions(template: Template, function_id: str) -> list[str]:
    policies = template.resources(FUNCTION)[function_id]["Properties"]["Policies"]
    return [
        action
        for policy in policies
        for statement in policy["Statement"]
        for action in listed(statement["Action"])
    ]


def allowed_routes(template: Template, policy: str) -> set[str]:
    """The routes that the managed policy lets its holder call."""
    document = template.resources("AWS::IAM::ManagedPolicy")[policy]["Properties"]
    (statement,) = document["PolicyDocument"]["Statement"]
    assert statement["Action"] == "execute-api:Invoke"
    resources = [it["Fn::Sub"] for it in listed(statement["Resource"])]
    patterns = [it.partition("${Api}/${Stage}/")[2] for it in resources]
    return {
        f"{route.method} {route.path}"
        for route in template.routes()
        if any(fnmatchcase(f"{route.method}{route.path}", pattern) for pattern in patterns)
    }


def statements(policy: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = policy["Properties"]["PolicyDocument"]["Statement"]
    return found


def dashboard(template: Template) -> dict[str, Any]:
    """The dashboard's body, with every resource called as its logical id."""
    (resource,) = template.resources("AWS::CloudWatch::Dashboard").values()
    text = resource["Properties"]["DashboardBody"]["Fn::Sub"]
    for name in re.findall(r"\$\{([^}]+)\}", text):
        assert name.split(".")[0] in template.logical_ids() or name in {
            "Stage",
            "AWS::Region",
            "AWS::StackName",
        }
    named = re.sub(r"\$\{(\w+)\.Arn\}", r"arn:\1", text)
    body: dict[str, Any] = json.loads(named)
    return body


def metric_names(template: Template) -> Iterator[str]:
    """Of all metrics of our own namespace that an alarm or the dashboard looks at."""
    for alarm in template.resources(ALARM).values():
        of_releases = [
            metric["MetricStat"]["Metric"]
            for metric in alarm["Properties"].get("Metrics", [])
            if "MetricStat" in metric
        ]
        for metric in of_releases or [alarm["Properties"]]:
            if metric["Namespace"] == {"Fn::Sub": "Segue/${Stage}"}:
                yield metric["MetricName"]
    for widget in dashboard(template)["widgets"]:
        for metric in widget["properties"].get("metrics", []):
            if metric[0] == "Segue/${Stage}":
                yield metric[1]
            elif isinstance(metric[0], dict):
                yield re.findall('MetricName="([^"]+)"', metric[0]["expression"])[0]
