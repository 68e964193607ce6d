"""Reports on experiments as they stand."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from segue.domain.errors import UnknownExperiment
from segue.experiments.experiment import Experiment, Mode
from segue.experiments.tally import Tally
from segue.ports import ResultStore
from segue.reporting.document import Document, document, summary
from segue.statistics.sample_ratio import check_sample_ratio

# Experiments that are read at the same time.
_AT_ONCE = 8


class Reports:
    """Reads counts, the newest records, and one page of pending exposures."""

    def __init__(self, results: ResultStore) -> None:
        self._results = results

    def report(self, name: str, *, live: bool) -> Document:
        """Of the running epoch, in replay or live. Raises UnknownExperiment, StoreUnavailable."""
        found = self._results.experiment(name)
        if found is None:
            raise UnknownExperiment(f"there is no experiment {name!r}")
        experiment = found[0].live if live else found[0]
        return document(experiment, *self._counts(experiment))

    def experiments(self) -> list[Document]:
        """What there is to report on: each running epoch, in replay and live, by name.

        Of each, when outcomes were settled, and of how many users. Raises StoreUnavailable.
        """
        sides = self._sides()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            tallies = pool.map(self._results.tally, sides)
            return [summary(side, tally) for side, tally in zip(sides, tallies, strict=True)]

    def mismatches(self) -> list[Document]:
        """Running epochs, in replay and live, whose arms did not get their shares of users.

        Only fixed allocation has such shares. Raises StoreUnavailable.
        """
        fixed = [side for side in self._sides() if side.mode is Mode.FIXED]
        return [off for side in fixed for off in self._off(side)]

    def _sides(self) -> list[Experiment]:
        """Every experiment by name, in replay and live."""
        found = sorted(self._results.all_experiments(), key=lambda each: each[0].name)
        return [side for experiment, _ in found for side in (experiment, experiment.live)]

    def _off(self, experiment: Experiment) -> Iterator[Document]:
        tally, pending = self._counts(experiment)
        outcomes = tally.outcomes()
        users = {
            arm.group: outcomes.get(arm.group, (0, 0))[1] + pending[arm.group]
            for arm in experiment.arms
        }
        shares = {arm.group: arm.share for arm in experiment.arms}
        ratio = check_sample_ratio(list(users.values()), list(shares.values()))
        if ratio.is_off:
            yield {
                "experiment": experiment.base_name,
                "side": experiment.side,
                "epoch": experiment.epoch,
                "users": users,
                "shares": shares,
                "p": ratio.p_value,
                "E": ratio.e_value,
            }

    def _counts(self, experiment: Experiment) -> tuple[Tally, Counter[str]]:
        """The tally, and of each group the users who await their outcome, or a page of them.

        A page is drawn by the hash of the user's id, which says nothing of the arm; so users that
        one arm loses are missed on it, too, at a cost that does not grow.
        """
        tally, pending = self._results.tally_and_pending(experiment)
        return tally, Counter(exposure.group for exposure in pending)
