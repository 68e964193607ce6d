"""What all functions share: the resolver with its error answers, the logger, the metrics."""

from collections.abc import Callable
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from segue.api.problems import problem
from segue.domain.errors import SegueError, UnknownRoute

Handler = Callable[[dict[str, Any], LambdaContext], dict[str, Any]]

logger = Logger()
metrics = Metrics()


def create_app() -> APIGatewayRestResolver:
    """A resolver that answers every error, foreseen or not, as a problem."""
    app = APIGatewayRestResolver()

    def request_id() -> str:
        return app.current_event.request_context.request_id or ""

    @app.exception_handler(SegueError)  # type: ignore[untyped-decorator]
    def foreseen(error: SegueError) -> Response[str]:
        answer = problem(error, request_id())
        log = logger.error if answer.status_code >= 500 else logger.info
        log("refused", status=answer.status_code, reason=str(error))
        return answer

    @app.exception_handler(Exception)  # type: ignore[untyped-decorator]
    def unforeseen(error: Exception) -> Response[str]:
        logger.exception("failed")
        return problem(error, request_id())

    @app.not_found
    def unknown(_: NotFoundError) -> Response[str]:
        event = app.current_event
        return problem(UnknownRoute(f"no route {event.http_method} {event.path}"), request_id())

    return app


def create_handler(app: APIGatewayRestResolver) -> Handler:
    """What Lambda calls: the resolver with every request logged and counted."""

    @metrics.log_metrics(capture_cold_start_metric=True)
    @logger.inject_lambda_context(correlation_id_path="requestContext.requestId", clear_state=True)
    def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
        metrics.add_metric("Requests", MetricUnit.Count, 1)
        return app.resolve(event, context)

    handler: Handler = lambda_handler
    return handler
