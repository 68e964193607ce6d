"""How a release is checked: calls of one version of a function, or of the API; and CodeDeploy."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.httpsession import URLLib3Session

from segue.services.release import NAME, Answer, Request

# A version that has yet to start may take its time, and nobody waits for it.
_SECONDS = 29


class Deployment:
    """A deployment that waits for this check; ``client`` is boto3's of CodeDeploy."""

    def __init__(self, client: Any, event: Mapping[str, str]) -> None:
        self._client = client
        self._id = event["DeploymentId"]
        self._execution_id = event["LifecycleEventHookExecutionId"]

    def target(self) -> tuple[str, str]:
        """The name of the function that is deployed, and its new version."""
        targets = self._client.list_deployment_targets(deploymentId=self._id)["targetIds"]
        (target,) = self._client.batch_get_deployment_targets(
            deploymentId=self._id, targetIds=targets
        )["deploymentTargets"]
        function = target["lambdaTarget"]["lambdaFunctionInfo"]
        return function["functionName"], function["targetVersion"]

    def conclude(self, *, passed: bool) -> None:
        """Let it go on, or have it taken back."""
        self._client.put_lifecycle_event_hook_execution_status(
            deploymentId=self._id,
            lifecycleEventHookExecutionId=self._execution_id,
            status="Succeeded" if passed else "Failed",
        )


class Version:
    """A version of a function, called as API Gateway calls it; ``client`` is boto3's of Lambda."""

    def __init__(self, client: Any, function: str, version: str) -> None:
        self._client = client
        self._function = function
        self._version = version

    def send(self, request: Request) -> Answer:
        """What the version answers; 502, as API Gateway says, where it ends with an error."""
        answer = self._client.invoke(
            FunctionName=self._function,
            Qualifier=self._version,
            Payload=json.dumps(_proxy_event(request)).encode(),
        )
        payload = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            return Answer(502, payload)
        return Answer(payload["statusCode"], _parsed(payload["body"]))


class SignedApi:
    """The API at a URL, called with this process's own credentials."""

    def __init__(self, session: boto3.Session, url: str) -> None:
        credentials = session.get_credentials()
        assert credentials is not None
        self._signer = SigV4Auth(credentials, "execute-api", session.region_name)
        self._http = URLLib3Session(timeout=_SECONDS)
        self._url = url

    def send(self, request: Request) -> Answer:
        """What the API answers."""
        url = self._url + quote(request.path)
        if request.query:
            url += "?" + urlencode(request.query)
        signed = AWSRequest(request.method, url, _headers(request), _text(request.body))
        self._signer.add_auth(signed)
        answer = self._http.send(signed.prepare())
        return Answer(answer.status_code, _parsed(answer.text))


def deployment(event: Mapping[str, str]) -> Deployment:
    """The deployment that CodeDeploy's event is about."""
    return Deployment(boto3.client("codedeploy"), event)


def version(function: str, number: str) -> Version:
    """A version of a function of this account."""
    config = Config(read_timeout=_SECONDS, retries={"total_max_attempts": 1})
    return Version(boto3.client("lambda", config=config), function, number)


def signed_api(url: str) -> SignedApi:
    """The API at the URL."""
    return SignedApi(boto3.Session(), url)


def _proxy_event(request: Request) -> dict[str, Any]:
    query = {name: [value] for name, value in request.query.items()}
    return {
        "resource": request.route,
        "path": request.path,
        "httpMethod": request.method,
        "headers": _headers(request),
        "pathParameters": dict(request.parameters) or None,
        "queryStringParameters": dict(request.query) or None,
        "multiValueQueryStringParameters": query or None,
        "requestContext": {"requestId": NAME, "stage": NAME, "path": request.path},
        "body": _text(request.body),
        "isBase64Encoded": False,
    }


def _headers(request: Request) -> dict[str, str]:
    return {"Content-Type": "application/json", **request.headers}


def _text(body: Any) -> str | None:
    return None if body is None else json.dumps(body)


def _parsed(body: str | None) -> Any:
    try:
        return json.loads(body or "null")
    except ValueError:
        return body
