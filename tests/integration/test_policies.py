"""What each function may do, beside what it does when it is asked everything that it answers.

The calls that reach AWS are noted while every route and every schedule has its turn.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from io import BytesIO
from typing import Any, NamedTuple

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from infra.local.environment import REGION
from infra.local.functions import Function, Handler, LambdaContext
from infra.local.proxy_event import ACCOUNT_ID
from infra.models import Depot
from infra.template import FUNCTION, load
from segue import bootstrap
from segue.adapters import sessions
from segue.adapters.aws import CONFIG
from segue.adapters.exposures import DynamoResultStore
from segue.adapters.signatures import BundleKey
from segue.domain.times import format_time
from segue.experiments.epoch import EpochId, Side
from segue.experiments.experiment import DEFAULT_NAME
from segue.experiments.records import Exposure, Pending
from segue.models.bundle import Bundle
from segue.services.release import CHECKS
from tests.integration.conftest import ROOT, Aws, new_key, resources
from tests.runtime.support import sample
from tests.stacks import whole
from tests.variants import variant

TEMPLATE = load(ROOT / "template.yaml")
ACTIONS = {"ListObjectsV2": "s3:ListBucket", "DeleteObjects": "s3:DeleteObject"}
STACK = "segue-test"
SCHEDULED = {"source": "aws.events", "detail-type": "Scheduled Event"}


class Call(NamedTuple):
    """What IAM looks at of a call; ``prefix``: of a listing."""

    action: str
    resource: str
    prefix: str | None = None


class Grant(NamedTuple):
    """One action on one resource that a policy allows, where a listing has one of the prefixes."""

    action: str
    resource: str
    prefixes: tuple[str, ...]

    def allows(self, call: Call) -> bool:
        # A listing without a prefix is of the whole bucket.
        listed = call.prefix or ""
        return (
            call.action == self.action
            and fnmatchcase(call.resource, self.resource)
            and (not self.prefixes or any(fnmatchcase(listed, it) for it in self.prefixes))
        )


@dataclass
class Deployment:
    """The functions over tables and a bucket, and the calls that each of them made."""

    aws: Aws
    bundle: Bundle
    key: str
    running: str = ""
    calls: dict[str, set[Call]] = field(default_factory=dict)
    asked: set[tuple[str, str]] = field(default_factory=set)
    handlers: dict[str, Handler] = field(default_factory=dict)
    released: str = ""
    status: str = ""

    @property
    def names(self) -> dict[str, str]:
        found = dict(self.aws.names)
        for table in ("SessionsTable", "UsersTable", "TracksTable", "ExposuresTable"):
            found[f"{table}.Arn"] = f"arn:aws:dynamodb:::table/{found[table]}"
        return found | {
            "Bucket.Arn": f"arn:aws:s3:::{found['Bucket']}",
            "DeadLetters.Arn": "arn:aws:sqs:::dead-letters",
            "BundleKey.Arn": self.key,
            "AWS::Partition": "aws",
            "AWS::Region": REGION,
            "AWS::AccountId": ACCOUNT_ID,
            "AWS::StackName": STACK,
            "EventsFunction": f"{STACK}-EventsFunction",
        }

    def ask(self, event: Mapping[str, Any]) -> None:
        """Send a request to the function that the template gives it to."""
        route = (event["httpMethod"], event["resource"])
        answering = {(it.method, it.path): it.function_id for it in TEMPLATE.routes()}
        self.asked.add(route)
        answer = self.invoke(answering[route], event)
        assert answer["statusCode"] < 400, answer["body"]

    def invoke(self, function_id: str, event: Mapping[str, Any]) -> Any:
        caller, self.running = self.running, function_id
        self.calls.setdefault(function_id, set())
        if function_id not in self.handlers:
            self.handlers[function_id] = self._started(function_id)
        # Maintenance without its time would leave off at a place that is drawn by lot.
        context = LambdaContext(function_id, "request", TEMPLATE.timeout(function_id))
        try:
            return self.handlers[function_id](dict(event), context)
        finally:
            self.running = caller

    def release(self, function_id: str) -> None:
        """A release of the function, as CodeDeploy has it checked."""
        self.released, self.status = function_id, ""
        event = {"DeploymentId": "d-1", "LifecycleEventHookExecutionId": "e-1"}
        self.invoke("ReleaseCheckFunction", event)
        assert self.status == "Succeeded"

    def codedeploy(self, operation: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """What CodeDeploy, which moto does not know by half, answers during a release."""
        arn = f"arn:aws:codedeploy:{REGION}:{ACCOUNT_ID}:deploymentgroup:{STACK}-app/group"
        self.calls[self.running].add(Call(f"codedeploy:{operation}", arn))
        self.status = asked.get("status", "")
        deployed = {"functionName": f"{STACK}-{self.released}-x", "targetVersion": "2"}
        target = {"lambdaTarget": {"lambdaFunctionInfo": deployed}}
        return {"targetIds": ["t-1"], "deploymentTargets": [target]}

    def lambda_(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """What Lambda answers: the function itself."""
        arn = f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{asked['FunctionName']}"
        self.calls[self.running].add(Call("lambda:InvokeFunction", arn))
        function_id = asked["FunctionName"].removeprefix(f"{STACK}-").removesuffix("-x")
        answer = self.invoke(function_id, json.loads(asked["Payload"]))
        return {"Payload": BytesIO(json.dumps(answer).encode())}

    def leave_pending(self, user_id: str) -> None:
        """A replay's exposure of another day, which can be settled by now."""
        exposure = Exposure(user_id, "A", "autoencoder", self.bundle.version, (), 0, 0)
        results = DynamoResultStore(self.aws.dynamodb, self.names["ExposuresTable"])
        self.running = ""
        results.add(EpochId(DEFAULT_NAME, 1, Side.REPLAY), Pending(exposure, 1))

    def activate(self, bundle: Bundle) -> None:
        """Have the functions serve a bundle of the bucket, which they have to verify."""
        depot = Depot(self.aws.s3, self.names["Bucket"], BundleKey(self.key, CONFIG))
        self.running = ""
        depot.upload(bundle.path)
        depot.activate(bundle.version)

    def note(self, operation: str, asked: Mapping[str, Any]) -> None:
        noted = self.calls.get(self.running, set())
        if "KeyId" in asked:
            noted.add(Call(f"kms:{operation}", asked["KeyId"]))
            return
        if operation == "TransactWriteItems":
            for part, each in (pair for parts in asked["TransactItems"] for pair in parts.items()):
                arn = f"arn:aws:dynamodb:::table/{each['TableName']}"
                noted.add(Call(f"dynamodb:{part}Item", arn))
            return
        if "TableName" in asked or "RequestItems" in asked:
            index = f"/index/{asked['IndexName']}" if "IndexName" in asked else ""
            for table in asked.get("RequestItems") or [asked["TableName"]]:
                arn = f"arn:aws:dynamodb:::table/{table}{index}"
                noted.add(Call(f"dynamodb:{operation}", arn))
            return
        action, bucket = (
            ACTIONS.get(operation, f"s3:{operation}"),
            f"arn:aws:s3:::{asked['Bucket']}",
        )
        if operation == "ListObjectsV2":
            noted.add(Call(action, bucket, asked["Prefix"]))
            return
        deleted = asked.get("Delete", {}).get("Objects", [])
        for key in [it["Key"] for it in deleted] or [asked["Key"]]:
            noted.add(Call(action, f"{bucket}/{key}"))

    def _started(self, function_id: str) -> Handler:
        _forget()
        environment = TEMPLATE.environment(function_id, self.names) | {
            "AWS_ENDPOINT_URL": "",
            "BUNDLE_PATH": str(self.bundle.path),
            "BUNDLE_POLL_SECONDS": "0",
            "SEGUE_AS_OF": format_time(self.bundle.manifest.cutoff),
        }
        code, handler = TEMPLATE.code_uri(function_id), TEMPLATE.handler(function_id)
        return Function(function_id, handler, code, environment).load()


def _forget() -> None:
    """Each function has a process to itself, and its own of everything that is made once in one."""
    for made_once in vars(bootstrap).values():
        if hasattr(made_once, "cache_clear"):
            made_once.cache_clear()


@contextmanager
def noted_calls(deployment: Deployment, patch: pytest.MonkeyPatch) -> Iterator[None]:
    original = BaseClient._make_api_call  # type: ignore[attr-defined]

    def call(client: BaseClient, operation: str, asked: dict[str, Any]) -> Any:
        service = client.meta.service_model.service_name
        if service == "codedeploy":
            return deployment.codedeploy(operation, asked)
        if service == "lambda":
            return deployment.lambda_(asked)
        deployment.note(operation, asked)
        try:
            return original(client, operation, asked)
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                # Nobody here may list the whole bucket, and so S3 does not say what is missing.
                raise ClientError({"Error": {"Code": "AccessDenied"}}, operation) from None
            raise

    patch.setattr(BaseClient, "_make_api_call", call)
    yield


@pytest.fixture(scope="module", params=["moto"])
def deployment(
    request: pytest.FixtureRequest, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """After everything has been asked of every function."""
    with pytest.MonkeyPatch.context() as patch, resources(request, patch) as aws:
        deployment = Deployment(aws, bundle, new_key())
        for name in TEMPLATE.environment("PredictFunction", deployment.names):
            patch.setenv(name, "")  # what the functions set is unset at the end
        patch.setattr(sessions, "_FOLD_EVERY", 1)
        another = variant(bundle.path, tmp_path_factory.mktemp("new") / "bundle", 1)
        with noted_calls(deployment, patch):
            # There is no pointer yet; then there is one, to a bundle that has to be verified.
            deployment.ask(sample("models"))
            deployment.ask(sample("add_events"))
            deployment.activate(another)
            _ask_everything(deployment, bundle.catalogue.ids[0].decode())
        yield deployment
        _forget()


def _ask_everything(deployment: Deployment, track: str) -> None:
    def ask(*names: str, **changed: Any) -> None:
        for name in names:
            deployment.ask({**sample(name), **changed})

    ask("save_profile", "add_events", "profile", "list_events")
    ask("add_events", path="/users/newcomer/events")
    ask("export_user", "health", "models", "predict")
    # What the listener ever heard, from a digest, too.
    ask("predict", body=json.dumps({"user_id": 429, "novelty": "new"}))
    ask("save_track", path=f"/tracks/{track}")
    ask("save_track", path=f"/tracks/{track}", body=json.dumps({"available": True}))
    ask("similar", path=f"/tracks/{track}/similar")
    ask("track", path=f"/tracks/{track}")
    ask("search_tracks", "genres", "search_users")
    ask("search_users", queryStringParameters=None)
    ask("save_experiment", "plan_experiment", "experiment", "experiments")
    # Both arms are asked, of which the hybrid looks back a year.
    arms = [{"group": str(model), "model_id": model} for model in (0, 3)]
    body = json.dumps({"arms": arms, "mode": "interleave", "window_days": 14})
    ask("save_experiment", path="/experiments/year", body=body)
    query = {"experiment": "year"}
    listed = {name: [value] for name, value in query.items()}
    ask("recommendations", queryStringParameters=query, multiValueQueryStringParameters=listed)
    ask("recommendations", "perform_ab_test", "results")
    ask("recommendations", path="/users/newcomer/recommendations")
    deployment.leave_pending("waiting")
    ask("perform_ab_test", body=json.dumps({"user_id": "waiting"}))
    # As many batches as the archive merges.
    for number in range(8):
        deployment.leave_pending(f"waiting {number}")
        deployment.invoke("MaintenanceFunction", SCHEDULED)
    deployment.invoke("BatchFunction", sample("batch"))
    ask("report", "overview")
    deployment.invoke("AbReportFunction", SCHEDULED)
    ask("explorer", "asset", "docs", "openapi")
    for function_id in CHECKS:
        deployment.release(function_id)
    ask("ship_experiment", "stop_experiment", "save_layer", "layers")
    ask("erase_user", "delete_results")


def grants(deployment: Deployment, function_id: str) -> list[Grant]:
    """What the function's own policies allow."""
    policies = TEMPLATE.resources(FUNCTION)[function_id]["Properties"].get("Policies", [])
    return [it for policy in policies for it in _granted(policy, deployment)]


def bounds(deployment: Deployment) -> list[Grant]:
    """What the functions' boundary allows."""
    boundary = whole().resources("AWS::IAM::ManagedPolicy")["FunctionBoundary"]
    return list(_granted(boundary["Properties"]["PolicyDocument"], deployment))


def _granted(policy: Mapping[str, Any], deployment: Deployment) -> list[Grant]:
    return [
        Grant(action, resource, tuple(_prefixes(statement)))
        for statement in TEMPLATE.resolve(policy["Statement"], deployment.names)
        if statement is not None
        for action in _listed(statement["Action"])
        for resource in _listed(statement["Resource"])
    ]


def _prefixes(statement: Mapping[str, Any]) -> list[str]:
    condition = statement.get("Condition", {}).get("StringLike", {})
    return _listed(condition.get("s3:prefix", []))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_every_route_and_every_function_had_its_turn(deployment: Deployment) -> None:
    assert deployment.asked == {(route.method, route.path) for route in TEMPLATE.routes()}
    assert set(deployment.calls) == set(TEMPLATE.functions())


@pytest.mark.parametrize("function_id", TEMPLATE.functions())
class TestEachFunction:
    def test_may_do_all_that_it_does(self, deployment: Deployment, function_id: str) -> None:
        for allowed in (grants(deployment, function_id), bounds(deployment)):
            refused = {
                call
                for call in deployment.calls[function_id]
                if not any(grant.allows(call) for grant in allowed)
            }
            assert refused == set()

    def test_may_do_no_more(self, deployment: Deployment, function_id: str) -> None:
        needless = {
            grant
            for grant in grants(deployment, function_id)
            if not any(grant.allows(call) for call in deployment.calls[function_id])
        }
        assert needless == set()


def test_a_grant_is_for_its_action_its_resource_and_its_prefix() -> None:
    listing = Grant("s3:ListBucket", "arn:aws:s3:::b", ("ab/*",))
    assert listing.allows(Call("s3:ListBucket", "arn:aws:s3:::b", "ab/default/"))
    assert not listing.allows(Call("s3:ListBucket", "arn:aws:s3:::b"))
    assert not listing.allows(Call("s3:ListBucket", "arn:aws:s3:::b", "bundles/"))
    assert not listing.allows(Call("s3:ListBucket", "arn:aws:s3:::c", "ab/"))
    objects = Grant("s3:GetObject", "arn:aws:s3:::b/ab/*", ())
    assert objects.allows(Call("s3:GetObject", "arn:aws:s3:::b/ab/x"))
    assert not objects.allows(Call("s3:PutObject", "arn:aws:s3:::b/ab/x"))
    assert not objects.allows(Call("s3:GetObject", "arn:aws:s3:::b/bundles/x"))
