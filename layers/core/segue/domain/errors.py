"""Everything that can go wrong, in one tree::

    SegueError
    ├── InvalidRequest        the caller sent something that cannot be meant; names the field
    │   ├── MalformedRequest  the request cannot be read, whatever it is about
    │   │   └── UnknownPosition  no earlier page of the list gave it
    │   ├── RequestTooLarge   the body is over the limit
    │   └── InvalidFilter     an expression over tracks cannot be meant; says where
    ├── NotFound
    │   ├── UnknownModel      no such model in the active bundle
    │   ├── UnknownUser       neither a profile nor a single event
    │   ├── UnknownExperiment no experiment of that name
    │   ├── UnknownTrack      not in the catalogue of the active bundle
    │   └── UnknownRoute      no such path, or not with this method
    ├── AccessDenied          a listener asked for what is not their own
    ├── StaleVersion          what is to be changed is another version than the caller has seen
    ├── VersionNeeded         what is to be changed is there, and the caller has not said which
    ├── ExperimentStopped     the experiment runs no more
    ├── NotReadyToShip        the report does not say that this arm should be shipped
    ├── EpochConflict         the experiment's epoch is frozen to another bundle
    ├── InvalidRecord         one row of input data cannot be used; says why, reason by reason
    ├── InvalidData           a data folder or feature schema cannot be used at all
    ├── StoreUnavailable      a table or the bucket did not answer in time; trying again may help
    │   ├── UserErased        the user was erased while something of theirs was being written
    │   └── LaterFormat       what is there was written by a later version of Segue
    ├── ModelFailed           a model gave up on a listener that it should have scored
    ├── AnswerTooLarge        there is more to answer than an answer can hold
    └── BundleError           the models cannot be served
        ├── BundleMissing     there is no bundle where one should be
        └── BundleCorrupt     a file is not what the manifest says it is

The domain raises these; adapters translate their library's errors into these; one table in
``segue.api.problems`` maps them to HTTP statuses.
"""

from collections.abc import Sequence


class SegueError(Exception):
    """Base of all errors that Segue raises on purpose."""


class InvalidRequest(SegueError):
    """The caller's request cannot be served as it stands.

    ``field`` names the culprit (``user_id``), and is empty where the body as a whole is at fault.
    """

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class MalformedRequest(InvalidRequest):
    """What was sent cannot be read: no JSON, no UTF-8, no parameter of the route, no position."""


class UnknownPosition(MalformedRequest):
    """``next`` is not a position that an earlier page of the same list gave."""

    def __init__(
        self, message: str = "not a position that an earlier page of this list gave"
    ) -> None:
        super().__init__(message, field="next")


class RequestTooLarge(InvalidRequest):
    """The body is longer than the service reads."""


class InvalidFilter(InvalidRequest):
    """An expression over tracks cannot be read, or not be meant. ``position`` is the place of the
    character where it goes wrong, from 0 on."""

    def __init__(self, message: str, position: int = 0, *, field: str = "filter") -> None:
        super().__init__(message, field=field)
        self.position = position


class NotFound(SegueError):
    """What the caller named does not exist."""


class UnknownModel(NotFound):
    """No model of that number is in the active bundle."""


class UnknownUser(NotFound):
    """The user has neither a profile nor an event."""


class UnknownTrack(NotFound):
    """The track is not in the catalogue of the active bundle."""


class UnknownExperiment(NotFound):
    """No experiment of that name was ever put."""


class UnknownRoute(NotFound):
    """No such path, or not with this method."""


class AccessDenied(SegueError):
    """A listener's token came with a request for what is not that listener's own."""


class StaleVersion(SegueError):
    """What is to be changed has changed since the caller last saw it."""


class VersionNeeded(SegueError):
    """Something is to be changed, and the request does not say which version of it was seen."""


class ExperimentStopped(SegueError):
    """The experiment has been stopped or archived: nobody is assigned any more."""


class NotReadyToShip(SegueError):
    """No verdict, or a guardrail, or the sample ratio speaks against shipping the arm."""


class EpochConflict(SegueError):
    """The running epoch is frozen to another bundle than the one that is served."""


class InvalidRecord(SegueError):
    """One row of input cannot be used. ``reasons`` holds one short phrase per fault."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = tuple(reasons)


class InvalidData(SegueError):
    """A data folder, a file of it, or a feature schema cannot be used at all."""


class StoreUnavailable(SegueError):
    """A store timed out, throttled or refused the connection, also after the client's retries."""


class UserErased(StoreUnavailable):
    """The user was erased: what was read of them before must not be written any more.

    ``erasure`` names the erasure. Whoever knows it, and reads everything anew, may write.
    """

    def __init__(self, erasure: str | None) -> None:
        super().__init__("results: the user was erased meanwhile")
        self.erasure = erasure


class LaterFormat(StoreUnavailable):
    """What is stored is of another format than this version of Segue reads."""

    @classmethod
    def of(cls, what: str, number: object) -> "LaterFormat":
        """Says what is of which format, and what to do."""
        return cls(
            f"{what} is of format {number}, which a later version of Segue has written: deploy "
            "that version again"
        )


class ModelFailed(SegueError):
    """A model gave up on a listener that it should have scored: a fault of ours."""


class AnswerTooLarge(SegueError):
    """There is more to answer than an answer can hold, and nothing to be left out of it."""


class BundleError(SegueError):
    """The models cannot be served."""


class BundleMissing(BundleError):
    """There is no bundle where one should be."""


class BundleCorrupt(BundleError):
    """A file of the bundle is not what its manifest says it is."""
