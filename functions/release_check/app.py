"""Called by CodeDeploy before listeners reach a new version: calls every one of its routes."""

import os
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from segue.adapters import release
from segue.api.app import logger
from segue.services.release import CHECKS, NAME, Caller, listener


@logger.inject_lambda_context(clear_state=True)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> None:  # noqa: ARG001
    deployment = release.deployment(event)
    passed = False
    try:
        name, number = deployment.target()
        (function_id,) = (each for each in CHECKS if f"-{each}" in name)
        events = Caller(release.version(os.environ["EVENTS_FUNCTION"], "live").send)
        # One of each function's own: their versions may be released at the same time.
        with listener(events, f"{NAME}-{function_id}") as user_id:
            CHECKS[function_id](Caller(release.version(name, number).send), user_id)
        passed = True
    except Exception:  # noqa: BLE001
        # Whatever went wrong: a version that was not seen to answer is not let through.
        logger.exception("release refused")
    finally:
        deployment.conclude(passed=passed)
