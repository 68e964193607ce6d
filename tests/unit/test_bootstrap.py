"""``infra/bootstrap.yaml``: who deploys the stages, and what bounds the roles they make."""

import json
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import cfnlint
import pytest

from infra.template import Template, load
from tests.stacks import whole

ROOT = Path(__file__).parents[2]
SCHEMAS = Path(cfnlint.__file__).parent / "data/schemas"
STAGES = ("staging", "prod")
POLICY = "AWS::IAM::ManagedPolicy"

# What SAM makes of its own types.
MADE = {
    "AWS::Serverless::Function": (
        "AWS::CodeDeploy::Application",
        "AWS::CodeDeploy::DeploymentGroup",
        "AWS::Events::Rule",
        "AWS::IAM::Role",
        "AWS::Lambda::Alias",
        "AWS::Lambda::EventInvokeConfig",
        "AWS::Lambda::Function",
        "AWS::Lambda::Permission",
        "AWS::Lambda::Version",
    ),
    "AWS::Serverless::Api": (
        "AWS::ApiGateway::Deployment",
        "AWS::ApiGateway::RestApi",
        "AWS::ApiGateway::Stage",
    ),
    "AWS::Serverless::LayerVersion": ("AWS::Lambda::LayerVersion",),
}
# Services that the stack has nothing of: the schemas name them for what it does not use.
ELSEWHERE = {
    *("amplify", "apprunner", "appsync", "bedrock-agentcore", "billing", "cognito-idp", "ec2"),
    *("elasticfilesystem", "elasticloadbalancing", "firehose", "kinesis", "lakeformation"),
    *("s3files", "s3tables"),
}
# Of what the schemas name, this is not for a deployment: it reads or writes what tables and the
# bucket hold, or serves features that no resource of the stack has.
WITHHELD = (
    *("dynamodb:BatchWriteItem", "dynamodb:*etItem", "dynamodb:PutItem", "dynamodb:UpdateItem"),
    *("dynamodb:DeleteItem", "dynamodb:Query", "dynamodb:Scan", "dynamodb:ImportTable"),
    *("dynamodb:*Replica", "dynamodb:*KinesisStreamingDestination", "dynamodb:*tResourcePolicy"),
    *("dynamodb:DeleteResourcePolicy", "s3:*Object*", "s3:getObject", "s3:*Replication*"),
    *("s3:*Metadata*", "s3:Put*Configuration", "s3:PutReplication*", "s3:REST*"),
    *(
        "apigateway:TagResource",
        "apigateway:UntagResource",
        "glue:*Connection",
        "glue:GetSchemaVersion",
        "iam:*Group*",
        "iam:*User*",
    ),
    *("iam:CreateServiceLinkedRole", "iam:DeleteRolePermissionsBoundary", "kms:RevokeGrant"),
    *("lambda:AssociateRuntimeAlias", "lambda:PassCapacityProvider", "logs:CreateLogStream"),
    *("logs:PutLogEvents", "logs:PutBearer*", "logs:Put*Protection*", "logs:PutIndexPolicy"),
    *("sns:PutDataProtectionPolicy", "wafv2:*PermissionPolicy", "cloudformation:UpdateTerm*"),
    "codedeploy:RegisterOnPremisesInstance",
)


@pytest.fixture(scope="module")
def bootstrap() -> Template:
    return load(ROOT / "infra/bootstrap.yaml")


def statements(bootstrap: Template, *names: str) -> Iterator[Mapping[str, Any]]:
    for name in names:
        policy = bootstrap.resources(POLICY)[name]["Properties"]["PolicyDocument"]
        yield from policy["Statement"]


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def allowed(bootstrap: Template, *names: str) -> set[str]:
    return {it for each in statements(bootstrap, *names) for it in listed(each["Action"])}


def deployer(stage: str) -> list[str]:
    return [f"{stage}{name}" for name in ("Stacks", "Resources", "Roles")]


def is_any_of(action: str, patterns: Iterator[str] | set[str] | tuple[str, ...]) -> bool:
    return any(fnmatchcase(action, pattern) for pattern in patterns)


def needed() -> set[str]:
    """What CloudFormation asks for to make, read, change and delete what the stack has."""
    schemas = json.loads((SCHEMAS / "providers/us-east-1.json").read_bytes())
    types = {it["Type"] for it in whole().document["Resources"].values()}
    made = {one for kind in types for one in MADE.get(kind, (kind,))}
    found: set[str] = set()
    for kind in made | {"AWS::CloudFormation::Stack"}:
        schema = json.loads((SCHEMAS / f"resources/{schemas[kind]}.json").read_bytes())
        for step in ("create", "read", "update", "delete"):
            found |= set(schema["handlers"].get(step, {}).get("permissions", ()))
    return {it for it in found if it.partition(":")[0] not in ELSEWHERE}


@pytest.mark.parametrize("stage", STAGES)
class TestDeployer:
    def test_may_make_every_resource_of_the_stack(self, bootstrap: Template, stage: str) -> None:
        may = allowed(bootstrap, *deployer(stage))
        assert [it for it in sorted(needed()) if not is_any_of(it, {*may, *WITHHELD})] == []

    def test_may_do_nothing_that_no_resource_needs(self, bootstrap: Template, stage: str) -> None:
        # Budgets are there only where somebody gives one.
        wanted = needed() | {"wafv2:GetWebACL", "kms:ListAliases"}
        may = allowed(bootstrap, f"{stage}Resources", f"{stage}Roles")
        needless = [it for it in sorted(may) if not any(fnmatchcase(one, it) for one in wanted)]
        assert [it for it in needless if not it.startswith("budgets:")] == []

    def test_reads_and_writes_no_data(self, bootstrap: Template, stage: str) -> None:
        may = allowed(bootstrap, f"{stage}Resources", f"{stage}Roles")
        data = (
            *("dynamodb:GetItem", "dynamodb:Query", "dynamodb:Scan", "dynamodb:PutItem"),
            *("dynamodb:DeleteItem", "s3:GetObject", "s3:PutObject", "s3:DeleteObject"),
            *("lambda:InvokeFunction", "execute-api:Invoke", "logs:GetLogEvents"),
        )
        assert [it for it in data if is_any_of(it, may)] == []

    def test_is_trusted_for_its_environment_alone(self, bootstrap: Template, stage: str) -> None:
        role = bootstrap.resources("AWS::IAM::Role")[f"{stage}Deployer"]["Properties"]
        (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
        given = statement["Condition"]["StringEquals"]
        host = "token.actions.githubusercontent.com"
        assert given[f"{host}:aud"] == "sts.amazonaws.com"
        subject = bootstrap.resolve(given[f"{host}:sub"], {"Repository": "owner/name"})
        assert subject == f"repo:owner/name:environment:{stage}"

    def test_gives_a_role_rights_only_within_the_boundary(
        self, bootstrap: Template, stage: str
    ) -> None:
        grants = ("iam:CreateRole", "iam:AttachRolePolicy", "iam:PutRolePolicy")
        bounded = {"StringEquals": {"iam:PermissionsBoundary": {"Ref": f"{stage}Boundary"}}}
        for statement in statements(bootstrap, f"{stage}Roles"):
            if set(grants) & set(listed(statement["Action"])):
                names = listed(statement["Resource"])
                of_codedeploy = all("CodeDeployServiceRole" in it["Fn::Sub"] for it in names)
                assert of_codedeploy or statement["Condition"] == bounded

    def test_cannot_change_the_boundary_nor_itself(self, bootstrap: Template, stage: str) -> None:
        boundary = bootstrap.resources(POLICY)[f"{stage}Boundary"]["Properties"]
        role = bootstrap.resources("AWS::IAM::Role")[f"{stage}Deployer"]["Properties"]
        own = (boundary["ManagedPolicyName"]["Fn::Sub"], role["RoleName"]["Fn::Sub"])
        for statement in statements(bootstrap, f"{stage}Roles"):
            for resource in listed(statement["Resource"]):
                pattern = resource["Fn::Sub"].rpartition("/")[2]
                assert not any(fnmatchcase(name, pattern) for name in own)

    def test_what_names_no_resource_of_the_stack_is_asked_for_by_cloudformation_alone(
        self, bootstrap: Template, stage: str
    ) -> None:
        for statement in statements(bootstrap, f"{stage}Resources"):
            condition = statement["Condition"]
            called = condition.get("ForAnyValue:StringEquals", {}).get("aws:CalledVia")
            assert called == "cloudformation.amazonaws.com" or "kms:ViaService" in str(condition)

    def test_its_policies_are_no_longer_than_iam_takes(
        self, bootstrap: Template, stage: str
    ) -> None:
        for name in (*deployer(stage), f"{stage}Boundary"):
            document = bootstrap.resources(POLICY)[name]["Properties"]["PolicyDocument"]
            longest = {"AWS::Partition": "aws-us-gov", "AWS::Region": "ap-southeast-1"}
            names = longest | {"AWS::AccountId": "0" * 12, "AWS::URLSuffix": "amazonaws.com"}
            names[f"{stage}Boundary"] = "arn"
            assert len(json.dumps(bootstrap.resolve(document, names), separators=(",", ":"))) < 6144


def test_models_are_read_and_verified_for_their_environment_alone(bootstrap: Template) -> None:
    role = bootstrap.resources("AWS::IAM::Role")["ModelsReader"]["Properties"]
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    (given,) = trust["Condition"].values()
    subject = given["token.actions.githubusercontent.com:sub"]
    assert subject == {"Fn::Sub": "repo:${Repository}:environment:models"}
    (policy,) = role["Policies"]
    may = [it["Action"] for it in policy["PolicyDocument"]["Statement"]]
    assert may == ["s3:GetObject", "s3:ListBucket", "kms:Verify"]


@pytest.mark.parametrize("stage", STAGES)
def test_the_boundary_leaves_the_roles_of_the_stack_what_they_need(
    bootstrap: Template, stage: str
) -> None:
    template = whole()
    own = template.resources(POLICY)["FunctionBoundary"]["Properties"]["PolicyDocument"]
    roles = template.resources("AWS::IAM::Role").values()
    inline = [
        it["PolicyDocument"] for role in roles for it in role["Properties"].get("Policies", [])
    ]
    needs = {
        action
        for document in (own, *inline)
        for each in document["Statement"]
        for action in listed(each.get("Fn::If", ["", each])[1]["Action"])
    }
    assert needs - allowed(bootstrap, f"{stage}Boundary") == set()
