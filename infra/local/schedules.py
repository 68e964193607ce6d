"""Runs functions by the template's schedules, as EventBridge does on AWS."""

import json
import logging
import time
from collections.abc import Iterable, Mapping
from threading import Thread
from uuid import uuid4

from infra.local.functions import Invoke
from infra.template import Schedule

# Here time stands still at the models' cut-off, so that by the clock every window has passed: what
# somebody was shown a moment ago must not be judged before they could play it.
_EVENT = {"source": "aws.events", "detail-type": "Scheduled Event", "settle": False}

logger = logging.getLogger("segue.schedules")


def start(schedules: Iterable[Schedule], functions: Mapping[str, Invoke]) -> None:
    """Run each function now, and again after its period, for as long as this process lives."""
    for schedule in schedules:
        invoke = functions[schedule.function_id]
        Thread(target=_repeat, args=(schedule, invoke), daemon=True).start()


def _repeat(schedule: Schedule, invoke: Invoke) -> None:
    while True:
        answer = invoke(json.dumps(_EVENT).encode(), str(uuid4())).result()
        if answer.failed:
            logger.error("%s failed by schedule: %s", schedule.function_id, answer.payload.decode())
        time.sleep(schedule.seconds)
