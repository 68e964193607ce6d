"""Run by a schedule: calls the API as an application does. Its failures ring an alarm."""

import os
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from segue.adapters import release
from segue.api.app import logger
from segue.services.release import Caller, check_events, check_pages, check_predict, listener


@logger.inject_lambda_context(clear_state=True)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> None:  # noqa: ARG001
    call = Caller(release.signed_api(os.environ["API_URL"]).send)
    # Without experiments: every run would begin an epoch, which the archive keeps.
    with listener(call, "canary") as user_id:
        for check in (check_predict, check_events, check_pages):
            check(call, user_id)
