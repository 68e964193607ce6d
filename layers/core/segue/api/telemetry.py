"""What a function tells of the recommendations it makes: metrics, and the draws of exploration."""

from aws_lambda_powertools.metrics import MetricUnit

from segue.api.app import logger, metrics
from segue.services.recommend import Recommendation


def observe(answer: Recommendation, milliseconds: float) -> None:
    """Count one recommendation and, where it explored, log what was drawn with which odds.

    The log names the request and not the user: whoever estimates off-policy from it has the
    request's id beside what came of it, and erasing a user need not reach into logs.
    """
    metrics.add_dimension("model", answer.model)
    metrics.add_metric("Latency", MetricUnit.Milliseconds, milliseconds)
    metrics.add_metric("ColdStart recommendations", MetricUnit.Count, answer.cold_start)
    if answer.propensities is not None:
        logger.info(
            "explored",
            model=answer.model,
            bundle=answer.bundle,
            tracks=answer.tracks,
            propensities=answer.propensities,
        )
