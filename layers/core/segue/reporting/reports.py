"""Reports on experiments as they stand."""

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from segue.domain.errors import (
    InvalidRequest,
    NotReadyToShip,
    StoreUnavailable,
    UnknownExperiment,
    UnknownPosition,
)
from segue.experiments.epoch import Epoch, EpochId
from segue.experiments.experiment import Mode, State
from segue.experiments.records import Record
from segue.experiments.tally import Tally
from segue.ports import Archived, ExperimentStore, ResultArchive, ResultStore
from segue.reporting.document import Document, document, summary
from segue.reporting.overview import overview
from segue.statistics.sample_ratio import check_sample_ratio

# Epochs that are read at the same time.
_AT_ONCE = 32
# Of those that a page lets one choose from: each is read.
_MOST_EXPERIMENTS = 50
# How often one reads anew because records have been archived meanwhile.
_TRIES = 8


class Reports:
    """Reads an epoch's counts, the records that are not archived yet, and some of who are pending.

    What it reads does not grow with the number of records.
    """

    def __init__(
        self, experiments: ExperimentStore, results: ResultStore, archive: ResultArchive
    ) -> None:
        self._experiments = experiments
        self._results = results
        self._archive = archive

    def report(self, name: str, *, live: bool, number: int | None = None) -> Document:
        """Of the epoch of this number, or the running one, in replay or live.

        Raises UnknownExperiment and StoreUnavailable.
        """
        epoch = self._epoch(name, number)
        epoch = epoch.live if live else epoch
        # In this order: who is settled in between is in neither, and nobody in both.
        tally = self._tally(epoch.id)
        return document(epoch, tally, self._pending(epoch.id))

    def check_ready(self, name: str, group: str, *, live: bool) -> None:
        """Raises NotReadyToShip with every reason, InvalidRequest for no arm beside the control,
        and otherwise as ``report``."""
        found = {it["arm"]: it for it in self.report(name, live=live)["shipping"]}
        if group not in found:
            raise InvalidRequest(
                f"must be one of {', '.join(found)}; to stay with the control, stop the experiment",
                field="group",
            )
        if not found[group]["ready"]:
            raise NotReadyToShip("; ".join(found[group]["reasons"]))

    def experiments(self) -> list[Document]:
        """What there is to report on: each running epoch, in replay and live, by name.

        Of each, when outcomes were settled, and of how many users, as far as archived. Without
        experiments that were archived; of very many, those that were changed last. Raises
        StoreUnavailable.
        """
        found = [epoch for epoch, _ in self._experiments.all_running()]
        kept = [it for it in found if it.experiment.state is not State.ARCHIVED]
        latest = sorted(kept, key=lambda it: it.change.at)[-_MOST_EXPERIMENTS:]
        latest.sort(key=lambda it: it.experiment.name)
        epochs = [side for epoch in latest for side in epoch.sides]
        return [summary(*each) for each in zip(epochs, self._tallies(epochs), strict=True)]

    def overview(self, *, limit: int, after: str | None = None) -> Document:
        """Every epoch that ever began, in replay and live, up to ``limit`` behind ``after``.

        By name and number. It counts what is archived, and costs a request for each side of every
        epoch, those that are not listed included: every verdict is judged among all of them.
        Raises StoreUnavailable, and UnknownPosition for one that no page of this list gave.
        """
        epochs = [side for epoch in self._experiments.all_epochs() for side in epoch.sides]
        epochs.sort(key=lambda epoch: epoch.id)
        positions = [_position(epoch.id) for epoch in epochs]
        if after is not None and after not in positions:
            raise UnknownPosition
        start = 0 if after is None else positions.index(after) + 1
        found = overview(list(zip(epochs, self._tallies(epochs), strict=True)), start, limit)
        more = start + limit < len(epochs)
        return found | {"next": positions[start + limit - 1] if more else None}

    def mismatches(self) -> list[Document]:
        """Running epochs, in replay and live, whose arms did not get their shares of users.

        Only fixed allocation has such shares. Raises StoreUnavailable.
        """
        fixed = [epoch for epoch in self._running() if epoch.experiment.mode is Mode.FIXED]
        return [off for epoch in fixed for off in self._off(epoch)]

    def _epoch(self, name: str, number: int | None) -> Epoch:
        running = self._experiments.running(name)
        if running is None:
            raise UnknownExperiment(f"there is no experiment {name!r}")
        epoch = running[0] if number is None else self._experiments.epoch(name, number)
        if epoch is None:
            raise UnknownExperiment(f"experiment {name!r} has had no epoch {number} yet")
        return epoch

    def _running(self) -> list[Epoch]:
        """Every experiment's epoch by name, in replay and live."""
        found = sorted(self._experiments.all_running(), key=lambda it: it[0].experiment.name)
        return [side for epoch, _ in found for side in epoch.sides]

    def _off(self, epoch: Epoch) -> Iterator[Document]:
        outcomes, pending = self._tally(epoch.id).outcomes(), self._pending(epoch.id)
        arms = epoch.experiment.arms
        users = {arm.group: outcomes.get(arm.group, (0, 0))[1] + pending[arm.group] for arm in arms}
        shares = {arm.group: arm.share for arm in arms}
        ratio = check_sample_ratio(list(users.values()), list(shares.values()))
        if ratio.is_off:
            yield {
                "experiment": epoch.experiment.name,
                "side": epoch.side,
                "epoch": epoch.number,
                "users": users,
                "shares": shares,
                "p": ratio.p_value,
                "E": ratio.e_value,
            }

    def _tallies(self, epochs: Sequence[Epoch]) -> list[Tally]:
        """The counts of each epoch's archive."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return [it.tally for it in pool.map(lambda it: self._archive.read(it.id), epochs)]

    def _tally(self, epoch: EpochId) -> Tally:
        """The counts of all records, the unarchived included: all of them, or some thousand."""
        archived = self._archive.read(epoch)
        for _ in range(_TRIES):
            fresh = self._fresh(archived)
            again = self._archive.read(epoch)
            if fresh is not None and again.tag == archived.tag:
                return archived.tally.plus(Tally.of(fresh))
            archived = again
        raise StoreUnavailable("results: archived anew each time they were read")

    def _fresh(self, archived: Archived) -> Sequence[Record] | None:
        """The records that the archive does not count; None where it has changed since."""
        records = self._results.unarchived(archived.epoch)
        if archived.noted or not records:
            return records
        latest = self._archive.latest(archived)
        if latest is None:
            return None
        counted = {record.exposure for record in latest}
        return [record for record in records if record.exposure not in counted]

    def _pending(self, epoch: EpochId) -> Counter[str]:
        """Of each group, how many await their outcome, of the epoch's first users by hash.

        The hash says nothing of the arm; so users that one arm loses are missed among them, too,
        at a cost that does not grow.
        """
        return Counter(pending.exposure.group for pending in self._results.pending(epoch))


def _position(epoch: EpochId) -> str:
    """The place behind it in the list of all epochs."""
    return f"{epoch.experiment}/{epoch.number}/{epoch.side}"
