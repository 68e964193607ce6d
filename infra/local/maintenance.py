"""Runs maintenance from time to time, as its schedule does on AWS, but more often."""

import logging
import time
from threading import Thread
from uuid import uuid4

from infra.local.functions import Invoke

# Time stands still here, at the models' cut-off: by the clock every window has long passed, also
# of what was shown a moment ago and may yet be played. When to settle, only the user can say.
_EVENT = b'{"source": "aws.events", "settle": false}'

# In seconds. One machine answers slowly from records that are not compacted yet: it reads a few
# hundred a second, where S3 is asked for sixteen at a time.
PERIOD = 15

logger = logging.getLogger("segue.maintenance")


def keep_up(invoke: Invoke, period: float = PERIOD) -> None:
    """Run it now, and again after every period (seconds), for as long as this process lives."""
    Thread(target=_repeat, args=(invoke, period), daemon=True).start()


def _repeat(invoke: Invoke, period: float) -> None:
    while True:
        answer = invoke(_EVENT, str(uuid4())).result()
        if answer.failed:
            logger.error("maintenance failed by schedule: %s", answer.payload.decode())
        time.sleep(period)
