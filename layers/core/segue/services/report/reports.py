"""Reports on experiments as they stand."""

from collections import Counter
from collections.abc import Iterator

from segue.domain.errors import UnknownExperiment
from segue.experiments.experiment import Experiment, Mode
from segue.experiments.statistics.sample_ratio import check_sample_ratio
from segue.experiments.tally import Tally
from segue.ports import ResultStore
from segue.services.report.document import Document, document


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

    def mismatches(self) -> list[Document]:
        """Running epochs, in replay and live, whose arms did not get their shares of users.

        Only fixed allocation has such shares. Raises StoreUnavailable.
        """
        found = [experiment for experiment, _ in self._results.all_experiments()]
        sides = [side for experiment in found for side in (experiment, experiment.live)]
        return [off for side in sides if side.mode is Mode.FIXED for off in self._off(side)]

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
