"""Reports on experiments as they stand."""

from segue.domain.errors import UnknownExperiment
from segue.ports import ResultStore
from segue.services.report.document import Document, document


class Reports:
    """Reads counts, and no more records than the newest."""

    def __init__(self, results: ResultStore) -> None:
        self._results = results

    def report(self, name: str, *, live: bool) -> Document:
        """Of the running epoch, in replay or live. Raises UnknownExperiment, StoreUnavailable."""
        found = self._results.experiment(name)
        if found is None:
            raise UnknownExperiment(f"there is no experiment {name!r}")
        experiment = found[0].live if live else found[0]
        return document(experiment, self._results.tally(experiment), live=live)
