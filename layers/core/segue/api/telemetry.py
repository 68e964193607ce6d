"""What the functions tell of what they do: metrics, and logs of what somebody will look into.

docs/operations.md has the list of metrics.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.metrics import MetricUnit, single_metric

from segue.api.app import logger, metrics
from segue.ports import Refused

# Not every function has a use for experiments, or for ONNX Runtime, which the services bring along.
if TYPE_CHECKING:
    from segue.experiments.records import Exposure
    from segue.services.live import Shown
    from segue.services.recommend import Recommendation


def observe(answer: "Recommendation", milliseconds: float) -> None:
    """Count one recommendation and, where it explored, log what was drawn with which odds.

    The log names the request and not the user, so that erasing a user need not reach into logs. An
    off-policy estimate has the request's id beside what came of the request, too.
    """
    _observe_list(answer.model, answer.tracks, milliseconds)
    metrics.add_metric("Fallbacks", MetricUnit.Count, answer.cold_start)
    if answer.propensities is not None:
        logger.info(
            "explored",
            model=answer.model,
            bundle=answer.bundle,
            tracks=answer.tracks,
            propensities=answer.propensities,
        )


def observe_shown(shown: "Shown", milliseconds: float) -> None:
    """Count what an experiment let a listener see, and whether its outcome will count."""
    _observe_list(shown.model, shown.impression.tracks, milliseconds)
    recorded = shown.recommendation_id is not None
    metrics.add_metric("Exposures", MetricUnit.Count, recorded)


def observe_stored(found: bool) -> None:
    """Count whether there was a stored list, where one would have done."""
    metrics.add_metric("Stored lists", MetricUnit.Count, found)


def observe_outcome(exposure: "Exposure", *, settled: bool) -> None:
    """Count what a replayed test answered, and whether its model failed."""
    metrics.add_metric("Settled outcomes" if settled else "Pending outcomes", MetricUnit.Count, 1)
    metrics.add_metric("Model failures", MetricUnit.Count, exposure.error is not None)


def observe_mismatches(mismatches: Sequence[Mapping[str, Any]]) -> None:
    """Count the experiments whose sample ratio is off, and say which."""
    metrics.add_metric("Sample ratio mismatches", MetricUnit.Count, len(mismatches))
    for mismatch in mismatches:
        logger.error("sample ratio mismatch", **mismatch)


def observe_refused(refused: Refused) -> None:
    """Log and count that another bundle is served than should be."""
    logger.error("bundle refused", version=refused.version, reason=refused.reason)
    with single_metric("Refused bundles", MetricUnit.Count, 1) as metric:
        metric.add_dimension("service", logger.service)


def _observe_list(model: str, tracks: Sequence[str], milliseconds: float) -> None:
    metrics.add_dimension("model", model)
    metrics.add_metric("Latency", MetricUnit.Milliseconds, milliseconds)
    metrics.add_metric("Empty lists", MetricUnit.Count, not tracks)
