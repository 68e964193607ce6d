"""Run by the state machine ``Batch``: lists for the users of one shard."""

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from segue import bootstrap
from segue.api.app import create_task, logger, metrics
from segue.api.lists import parse_shard

batch = bootstrap.batch()


def run(event: dict[str, Any], _context: LambdaContext) -> dict[str, int]:
    """How many lists were made: none where the shard was done already."""
    lists = batch.run(parse_shard(event))
    logger.info("done", lists=lists)
    metrics.add_metric("Batch lists", MetricUnit.Count, lists)
    return {"lists": lists}


lambda_handler = create_task(run)
