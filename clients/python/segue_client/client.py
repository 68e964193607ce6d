"""The two clients. Which operations there are, and what they take, ``operations`` says."""

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import wraps
from ipaddress import ip_address
from itertools import count
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, get_args
from urllib.parse import urlsplit

import httpx

from segue_client import operations
from segue_client.models import Event, Page, Result
from segue_client.operations import Call, Time, UserId
from segue_client.retries import Outcome, Retry

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")
M = TypeVar("M", bound=Callable[..., Any])

# API Gateway answers within 29 seconds, or not at all.
TIMEOUT = httpx.Timeout(30, connect=5)


def _method(
    operation: Callable[P, Call[T]],
) -> "Callable[Concatenate[Client, P], T]":
    """A method that sends what the operation makes of its arguments."""

    @wraps(operation)
    def method(self: "Client", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.send(operation(*args, **kwargs))

    return _documented(method)


def _async_method(
    operation: Callable[P, Call[T]],
) -> "Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]":
    """The same, to be awaited."""

    @wraps(operation)
    async def method(self: "AsyncClient", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.send(operation(*args, **kwargs))

    return _documented(method)


def _documented(method: M) -> M:
    """The method, with the signature for ``help``: it answers what its operation's call does."""
    given = inspect.signature(method)
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    (answer,) = get_args(given.return_annotation)
    method.__signature__ = given.replace(  # type: ignore[attr-defined]
        parameters=[own, *given.parameters.values()], return_annotation=answer
    )
    return method


class Client:
    """The service at ``url``, such as ``http://127.0.0.1:8000`` or a stack's ``ApiUrl``.

    ``auth``: None locally, ``SigV4()`` on AWS, ``BearerToken(...)`` behind an authorizer of your
    own, or any other of httpx. ``retry``: how often, and when, a request is sent again.
    ``timeout``: seconds that one attempt may wait. ``transport``: one of httpx, such as a proxy.

    Connections are kept: use one client for many calls, from as many threads as you like, and
    close it, or use it in a ``with`` statement. All methods raise Problem, Unreachable and
    InvalidAnswer.
    """

    def __init__(
        self,
        url: str,
        *,
        auth: httpx.Auth | None = None,
        retry: Retry | None = None,
        timeout: float | httpx.Timeout = TIMEOUT,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Raises ValueError for what is no address."""
        self._url = _checked(url)
        self._retry = retry or Retry()
        self._http = httpx.Client(
            auth=auth, timeout=timeout, transport=transport, trust_env=not is_loopback(url)
        )

    predict = _method(operations.predict)
    recommend = _method(operations.recommend)
    search_tracks = _method(operations.search_tracks)
    track = _method(operations.track)
    save_track = _method(operations.save_track)
    similar_tracks = _method(operations.similar_tracks)
    genres = _method(operations.genres)
    search_users = _method(operations.search_users)
    profile = _method(operations.profile)
    save_profile = _method(operations.save_profile)
    erase_user = _method(operations.erase_user)
    export_user = _method(operations.export_user)
    add_events = _method(operations.add_events)
    events = _method(operations.events)
    perform_test = _method(operations.perform_test)
    results = _method(operations.results)
    clear_results = _method(operations.clear_results)
    report = _method(operations.report)
    report_page = _method(operations.report_page)
    overview = _method(operations.overview)
    experiments = _method(operations.experiments)
    experiment = _method(operations.experiment)
    plan_experiment = _method(operations.plan_experiment)
    stop_experiment = _method(operations.stop_experiment)
    ship_experiment = _method(operations.ship_experiment)
    layers = _method(operations.layers)
    save_layer = _method(operations.save_layer)
    save_experiment = _method(operations.save_experiment)
    models = _method(operations.models)
    health = _method(operations.health)
    openapi = _method(operations.openapi)

    def all_events(
        self, user_id: UserId, *, from_: Time | None = None, to: Time | None = None
    ) -> Iterator[Event]:
        """All of a user's events, from ``from_`` on and before ``to``, in the order of time."""
        return self._all(operations.events(user_id, from_=from_, to=to))

    def all_results(
        self,
        *,
        experiment: str | None = None,
        live: bool | None = None,
        epoch: int | None = None,
    ) -> Iterator[Result]:
        """All results of an A/B test."""
        return self._all(operations.results(experiment=experiment, live=live, epoch=epoch))

    def send(self, call: Call[T]) -> T:
        """Send a request until it is answered, as often as ``retry`` allows."""
        for attempt in count(1):
            outcome = self._attempt(call)
            pause = self._retry.pause(attempt, outcome)
            if pause is None:
                break
            time.sleep(pause)
        return call.read(outcome)

    def _attempt(self, call: Call[Any]) -> Outcome:
        try:
            return self._http.send(_request(self._url, call))
        except httpx.TransportError as error:
            return error

    def _all(self, call: Call[Page[R]]) -> Iterator[R]:
        page = self.send(call)
        yield from page.rows
        while page.next is not None:
            page = self.send(call.at_page(page.next))
            yield from page.rows

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class AsyncClient:
    """``Client`` for asyncio: the same arguments and methods, to be awaited.

    ``all_events`` and ``all_results`` are asynchronous iterators; ``aclose`` closes.
    """

    def __init__(
        self,
        url: str,
        *,
        auth: httpx.Auth | None = None,
        retry: Retry | None = None,
        timeout: float | httpx.Timeout = TIMEOUT,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Raises ValueError for what is no address."""
        self._url = _checked(url)
        self._retry = retry or Retry()
        self._http = httpx.AsyncClient(
            auth=auth, timeout=timeout, transport=transport, trust_env=not is_loopback(url)
        )

    predict = _async_method(operations.predict)
    recommend = _async_method(operations.recommend)
    search_tracks = _async_method(operations.search_tracks)
    track = _async_method(operations.track)
    save_track = _async_method(operations.save_track)
    similar_tracks = _async_method(operations.similar_tracks)
    genres = _async_method(operations.genres)
    search_users = _async_method(operations.search_users)
    profile = _async_method(operations.profile)
    save_profile = _async_method(operations.save_profile)
    erase_user = _async_method(operations.erase_user)
    export_user = _async_method(operations.export_user)
    add_events = _async_method(operations.add_events)
    events = _async_method(operations.events)
    perform_test = _async_method(operations.perform_test)
    results = _async_method(operations.results)
    clear_results = _async_method(operations.clear_results)
    report = _async_method(operations.report)
    report_page = _async_method(operations.report_page)
    overview = _async_method(operations.overview)
    experiments = _async_method(operations.experiments)
    experiment = _async_method(operations.experiment)
    plan_experiment = _async_method(operations.plan_experiment)
    stop_experiment = _async_method(operations.stop_experiment)
    ship_experiment = _async_method(operations.ship_experiment)
    layers = _async_method(operations.layers)
    save_layer = _async_method(operations.save_layer)
    save_experiment = _async_method(operations.save_experiment)
    models = _async_method(operations.models)
    health = _async_method(operations.health)
    openapi = _async_method(operations.openapi)

    def all_events(
        self, user_id: UserId, *, from_: Time | None = None, to: Time | None = None
    ) -> AsyncIterator[Event]:
        """All of a user's events, from ``from_`` on and before ``to``, in the order of time."""
        return self._all(operations.events(user_id, from_=from_, to=to))

    def all_results(
        self,
        *,
        experiment: str | None = None,
        live: bool | None = None,
        epoch: int | None = None,
    ) -> AsyncIterator[Result]:
        """All results of an A/B test."""
        return self._all(operations.results(experiment=experiment, live=live, epoch=epoch))

    async def send(self, call: Call[T]) -> T:
        """Send a request until it is answered, as often as ``retry`` allows."""
        for attempt in count(1):
            outcome = await self._attempt(call)
            pause = self._retry.pause(attempt, outcome)
            if pause is None:
                break
            await asyncio.sleep(pause)
        return call.read(outcome)

    async def _attempt(self, call: Call[Any]) -> Outcome:
        try:
            return await self._http.send(_request(self._url, call))
        except httpx.TransportError as error:
            return error

    async def _all(self, call: Call[Page[R]]) -> AsyncIterator[R]:
        page = await self.send(call)
        for row in page.rows:
            yield row
        while page.next is not None:
            page = await self.send(call.at_page(page.next))
            for row in page.rows:
                yield row

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


def is_loopback(url: str) -> bool:
    """Whether the address is of this machine. Raises ValueError for what is no address."""
    host = urlsplit(_checked(url)).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is no address; such as http://127.0.0.1:8000 is wanted")
    return url.rstrip("/")


def _request(url: str, call: Call[Any]) -> httpx.Request:
    headers = {"Accept": "text/html" if call.kind is str else "application/json"}
    headers |= call.headers
    if call.content is not None:
        headers["Content-Type"] = "application/json"
    return httpx.Request(call.method, url + call.url, headers=headers, content=call.content)
