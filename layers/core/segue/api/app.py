"""What all functions share: the resolver with its error answers, the logger, the metrics.

No log line names a listener. What a refusal says may quote its request, and what an unforeseen
error says may quote anything: so the log has the kind of problem, and where the error was raised.
"""

import json
import os
from collections.abc import Callable
from traceback import format_tb
from typing import Any, TypeVar

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.metrics import MetricUnit, single_metric
from aws_lambda_powertools.utilities.typing import LambdaContext

from segue.api.cors import Cors, read_origins
from segue.api.http import read_user_id
from segue.api.problems import problem, problem_type
from segue.domain.errors import AccessDenied, AnswerTooLarge, SegueError, UnknownRoute

# Of a body as it stands in a function's answer: Lambda takes 6 MB, headers and all.
_MAX_ANSWER = 6 * 1024 * 1024 - 64 * 1024
# What escapes make of a character at most.
_LONGEST_ESCAPE = 6

Handler = Callable[[dict[str, Any], LambdaContext], dict[str, Any]]
T = TypeVar("T")
Task = Callable[[dict[str, Any], LambdaContext], T]
# What answers a request after a middleware.
Answerer = Callable[[APIGatewayRestResolver], Response[str]]


class Unforeseen(Exception):
    """A run ended with an error that is not ours. The log has its kind and its place."""


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

    app.use([_own_data_alone, checked, _bounded])

    def request_id() -> str:
        return app.current_event.request_context.request_id or ""

    @app.exception_handler(SegueError)  # type: ignore[untyped-decorator]
    def foreseen(error: SegueError) -> Response[str]:
        kind = problem_type(type(error))
        if kind.status >= 500:
            logger.error("refused", status=kind.status, problem=kind.title, reason=str(error))
        else:
            logger.info("refused", status=kind.status, problem=kind.title)
        return problem(error, request_id())

    @app.exception_handler(Exception)  # type: ignore[untyped-decorator]
    def unforeseen(error: Exception) -> Response[str]:
        _log_unforeseen(error)
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


def create_task(run: Task[T]) -> Task[T]:
    """What Lambda calls for a schedule or a state machine. Of an error that is not ours, Lambda's
    own log line would have every word: Unforeseen, which has none, is raised in its place."""

    @metrics.log_metrics(capture_cold_start_metric=True)
    @logger.inject_lambda_context(clear_state=True)
    def lambda_handler(event: dict[str, Any], context: LambdaContext) -> T:
        metrics.add_metric("Requests", MetricUnit.Count, 1)
        try:
            return run(event, context)
        except SegueError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever it is, it may quote a listener
            _log_unforeseen(error)
            raise Unforeseen(f"{type(error).__name__}; the line before says where") from None

    handler: Task[T] = lambda_handler
    return handler


def _own_data_alone(app: APIGatewayRestResolver, answer_of: Answerer) -> Response[str]:
    """A middleware: whoever comes with a token, which API Gateway has verified, is one listener.
    Only a path with that listener's id is theirs.

    Signed requests have no authorizer. One that there is, and names nobody, opens nothing.
    """
    authorizer = app.current_event["requestContext"].get("authorizer")
    if authorizer is not None:
        named = app.context["_route_args"].get("user_id")
        subject = (authorizer.get("claims") or {}).get("sub")
        if subject is None or named is None or read_user_id(named) != subject:
            raise AccessDenied("the token is not that of this user")
    return answer_of(app)


def _count_fault(context: LambdaContext) -> None:
    """Count an answer of 5xx, which is no error to Lambda, by the version that gave it."""
    with single_metric("Faults", MetricUnit.Count, 1) as metric:
        metric.add_dimension("function_name", context.function_name)
        metric.add_dimension("version", context.function_version)


def _log_unforeseen(error: Exception) -> None:
    logger.error("failed", error=type(error).__name__, trace=_trace(error))


def _trace(error: BaseException) -> list[str]:
    """The kinds of the error and of those behind it, and where each was raised."""
    cause = error.__cause__ or error.__context__
    here = [type(error).__name__, *format_tb(error.__traceback__)]
    return here if cause is None else _trace(cause) + here


def _bounded(app: APIGatewayRestResolver, answer_of: Answerer) -> Response[str]:
    """A middleware: what Lambda would not let through is refused with a reason."""
    response = answer_of(app)
    body = response.body or ""
    # Nearly every body is far too short to be worth a second look.
    if len(body) > _MAX_ANSWER / _LONGEST_ESCAPE and len(json.dumps(body)) > _MAX_ANSWER:
        raise AnswerTooLarge("the answer is over the 6 MB that Lambda lets through")
    return response
