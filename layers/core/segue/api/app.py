"""What all functions share: the resolver with its error answers, the logger, the metrics."""

import json
import os
from collections.abc import Callable
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.metrics import MetricUnit, single_metric
from aws_lambda_powertools.utilities.typing import LambdaContext

from segue.api.cors import Cors, read_origins
from segue.api.problems import problem
from segue.domain.errors import AnswerTooLarge, SegueError, UnknownRoute

# Of a body as it stands in a function's answer: Lambda takes 6 MB, headers and all.
_MAX_ANSWER = 6 * 1024 * 1024 - 64 * 1024
# What escapes make of a character at most.
_LONGEST_ESCAPE = 6

Handler = Callable[[dict[str, Any], LambdaContext], dict[str, Any]]
# What answers a request after a middleware.
Answerer = Callable[[APIGatewayRestResolver], Response[str]]

logger = Logger()
metrics = Metrics()


def create_app() -> APIGatewayRestResolver:
    """A resolver that answers every error, foreseen or not, as a problem.

    ``CORS_ORIGINS`` lists the websites whose pages may call it, if any.
    """
    origins = read_origins(os.environ.get("CORS_ORIGINS", ""))
    app = APIGatewayRestResolver(cors=Cors(origins) if origins else None)

    def checked(app: APIGatewayRestResolver, answer_of: Answerer) -> Response[str]:
        """Parameters that the route does not take are refused before anything is done."""
        if app.current_event.query_string_parameters:
            # It brings the types of all routes along, which a request without a query never needs.
            from segue.api.routes import check_parameters

            check_parameters(app.current_event)
        return answer_of(app)

    app.use([checked, _bounded])

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
        answer = app.resolve(event, context)
        if answer["statusCode"] >= 500:
            _count_fault(context)
        return answer

    handler: Handler = lambda_handler
    return handler


def _count_fault(context: LambdaContext) -> None:
    """Count an answer of 5xx, which is no error to Lambda, by the version that gave it."""
    with single_metric("Faults", MetricUnit.Count, 1) as metric:
        metric.add_dimension("function_name", context.function_name)
        metric.add_dimension("version", context.function_version)


def _bounded(app: APIGatewayRestResolver, answer_of: Answerer) -> Response[str]:
    """A middleware: what Lambda would not let through is refused with a reason."""
    response = answer_of(app)
    body = response.body or ""
    # Nearly every body is far too short to be worth a second look.
    if len(body) > _MAX_ANSWER / _LONGEST_ESCAPE and len(json.dumps(body)) > _MAX_ANSWER:
        raise AnswerTooLarge("the answer is over the 6 MB that Lambda lets through")
    return response
