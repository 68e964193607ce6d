"""Run by a schedule: settles outcomes whose window has passed, and archives records.

An event of ``{"settle": false}`` asks for the latter alone.
"""

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from segue import bootstrap
from segue.api.app import create_task, logger, metrics
from segue.domain.errors import StoreUnavailable

# No step takes longer. What is left undone is the next run's.
RESERVE_MILLISECONDS = 180_000

maintenance = bootstrap.maintenance()


def run(event: dict[str, Any], context: LambdaContext) -> None:
    def has_time() -> bool:
        return context.get_remaining_time_in_millis() > RESERVE_MILLISECONDS

    work = maintenance.run(has_time, settle=event.get("settle", True))
    logger.info("done", settled=work.settled, archived=work.archived, swept=work.swept)
    metrics.add_metric("Settled outcomes", MetricUnit.Count, work.settled)
    metrics.add_metric("Archived records", MetricUnit.Count, work.archived)
    metrics.add_metric("Maintenance faults", MetricUnit.Count, len(work.faults))
    if work.faults:
        # A run that could not do all of it has failed, and whoever watches is told.
        raise StoreUnavailable("; ".join(work.faults))


lambda_handler = create_task(run)
