"""``segue evaluate``: from a data folder to how good every contender is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb

from segue.domain.catalogue import Catalogue
from segue.domain.errors import InvalidData
from segue.domain.times import format_time
from segue.features.schema import load_schema
from training.catalogue import EncodedCatalogue
from training.data import OpenedData, connect, open_data, query
from training.data.folder import check_target
from training.evaluation import answer
from training.evaluation.ablations import fit_ablations
from training.evaluation.altered import judge_cold, leaking
from training.evaluation.answer import Roles, Row
from training.evaluation.contenders import ORACLE, RANDOM, PeerRun, draw_at_random
from training.evaluation.evaluations import SUFFIX, write_evaluations
from training.evaluation.likeness import examples, likeness_rows
from training.evaluation.options import Options
from training.evaluation.own import HYBRID, Own, fit_and_recommend
from training.evaluation.results import CutoffResults, Judge, Measures, Results, stack_draws
from training.progress import Curve
from training.protocol.lists import Lists
from training.protocol.split import Split
from training.protocol.temporal import check_cutoffs, prepare, temporal_cutoffs


def evaluate(data: Path, options: Options) -> dict[str, Any]:
    """The answer as plain values, ready for JSON and ``training.evaluation.report``::

        k, cutoffs, split, data            what was judged, and on what
        seed, seeds                        the first seed of our models, and how many there are
        ours, peers, references            the names of the contenders; random is always there,
                                           and the autoencoder with inputs missing, if wanted
        rows                               means by model and view; ndcg_low, ndcg_high: intervals
        differences                        ours less another, over the evaluations both have
        best_peers                         of these, those to the best peer, with a verdict
        sources, best_sources              each source of the hybrid alone: nDCG by view; the hybrid
                                           less the best of them, with a verdict
        by_activity, by_kind, played       groups of listeners; how popular is what they played
        tuning, leaks, curves, tradeoff    what peers chose; who saw the future; our models
        likeness, examples                 whether tracks that lie near are alike; some, by name
        cold                               tracks that were held out of all plays; None: not wanted

    Writes the evaluations into a file where the options name one; see
    ``training.evaluation.evaluations``. Raises InvalidData where the folder cannot be used, where
    that file cannot be written, or where there is nobody to judge at a cut-off.
    """
    if options.evaluations is not None:
        check_target(options.evaluations, [SUFFIX])
    with TemporaryDirectory(prefix="segue-") as name:
        folder = Path(name)
        workspace = folder / "workspace"
        reading = partial(options.progress, "reading")
        opened = open_data(data, workspace, split=options.split, progress=reading)
        peer_run = PeerRun(folder / "peers", options)
        run = _Run(opened.schema, options)
        with connect(workspace) as connection:
            times = _times(connection, opened, options.cutoffs)
            judged, last = run.judge(connection, times, peer_run)
            about = _about(connection, opened)
        leaks = run.leaks(folder, times[-1]) if options.check_leaks else None
        cold = run.cold(folder, times[-1]) if options.cold else None
        judged, told = peer_run.judge(judged)
    results = Results(judged, options.seeds)
    roles = _roles(results, last)
    if options.evaluations is not None:
        write_evaluations(results, roles, options.seed, options.evaluations)
    return {
        "k": options.k,
        "cutoffs": [format_time(time) for time in times],
        "split": options.split,
        "seed": options.seed,
        "seeds": options.seeds,
        "data": about,
        "ours": roles.ours,
        "peers": roles.peers,
        "references": roles.references,
        **_tables(results, roles, options.seed),
        "tuning": told,
        "leaks": leaks,
        "curves": _curves(last.curves),
        "tradeoff": last.tradeoff,
        "likeness": last.likeness,
        "examples": last.examples,
        "cold": cold,
    }


@dataclass(frozen=True)
class _Last:
    """Who is who, and what is shown of our models at the last cut-off: losses, accuracy by
    diversity, and what lies near what in the latent space."""

    ours: Sequence[str]
    references: Sequence[str]
    curves: Mapping[str, Curve]
    tradeoff: Sequence[Row]
    likeness: Sequence[Row]
    examples: Sequence[Row]


@dataclass(frozen=True)
class _Run:
    """What is the same at every cut-off."""

    schema: Path
    options: Options

    def judge(
        self, connection: duckdb.DuckDBPyConnection, times: Sequence[int], peer_run: PeerRun
    ) -> tuple[list[CutoffResults], _Last]:
        """The results of ours and the references at every cut-off."""
        options, schema = self.options, load_schema(self.schema)
        judged = []
        for done, cutoff in enumerate(times):
            options.progress("cut-offs", done, len(times))
            last = cutoff == times[-1]
            encoded, split = prepare(connection, schema, cutoff)
            peer_run.prepare(encoded, split)
            draws = [
                self._fit(connection, split, encoded, draw, vary=last and not draw, apart=not draw)
                for draw in range(options.seeds)
            ]
            own = draws[0]
            variants = self._variants(connection, split, encoded)
            references = {**variants.lists, **self._references(split, encoded)}
            judge = Judge(split, encoded.features)
            measures = {
                name: stack_draws([judge.measures(name, draw.lists[name]) for draw in draws])
                for name in own.lists
            } | {name: judge.measures(name, found) for name, found in references.items()}
            judged.append(judge.results(encoded.catalogue.genres, measures, _alone(judge, own)))
        options.progress("cut-offs", len(times), len(times))
        catalogue, spaces = encoded.catalogue, {**own.latents, **variants.latents}
        return judged, _Last(
            list(own.lists),
            list(references),
            own.curves,
            _tradeoff(judge, own),
            likeness_rows(catalogue, spaces, options.seed),
            _examples(connection, catalogue, own),
        )

    def leaks(self, folder: Path, cutoff: int) -> list[str]:
        """Those of our models that see the future."""

        def fit(
            connection: duckdb.DuckDBPyConnection, split: Split, encoded: EncodedCatalogue
        ) -> Mapping[str, Lists]:
            return self._fit(connection, split, encoded).lists

        workspace, garbled = folder / "workspace", folder / "garbled"
        schema = load_schema(self.schema)
        return leaking(workspace, garbled, schema, cutoff, fit, self.options.seed)

    def cold(self, folder: Path, cutoff: int) -> dict[str, Any]:
        """How ours do on tracks that nobody has played."""
        return judge_cold(folder / "workspace", folder / "cold", self.schema, cutoff, self.options)

    def _fit(
        self,
        connection: duckdb.DuckDBPyConnection,
        split: Split,
        encoded: EncodedCatalogue,
        draw: int = 0,
        *,
        vary: bool = False,
        apart: bool = False,
    ) -> Own:
        """Our models, trained with the seed of this draw."""
        options = replace(self.options, seed=self.options.seed + draw)
        return fit_and_recommend(
            connection, split, encoded, self.schema, options, vary=vary, apart=apart
        )

    def _variants(
        self, connection: duckdb.DuckDBPyConnection, split: Split, encoded: EncodedCatalogue
    ) -> Own:
        """The autoencoder with inputs missing; nothing where that is not wanted."""
        if not self.options.ablations:
            return Own({}, {})
        return fit_ablations(connection, split, encoded, self.schema, self.options)

    def _references(self, split: Split, encoded: EncodedCatalogue) -> dict[str, Lists]:
        """The bounds between which all others lie: chance and, where it is known, the truth."""
        options = self.options
        found = {RANDOM: draw_at_random(split, options.k, options.seed)}
        if options.oracle is not None:
            found[ORACLE] = options.oracle(split, encoded.catalogue, options.k)
        return found


def _times(
    connection: duckdb.DuckDBPyConnection, opened: OpenedData, cutoffs: Sequence[int]
) -> list[int]:
    if opened.cutoff is not None:
        if cutoffs:
            raise InvalidData("data with a given split has the one cut-off: leave out --cutoff")
        return [opened.cutoff]
    return check_cutoffs(connection, cutoffs) if cutoffs else temporal_cutoffs(connection)


def _about(connection: duckdb.DuckDBPyConnection, opened: OpenedData) -> dict[str, Any]:
    """What was evaluated on. The times of a given split mean nothing, so they are left out."""
    summary = opened.summary
    about: dict[str, Any] = {
        "tracks": summary.tracks,
        "listeners": summary.listeners,
        "events": summary.events,
        "plays": summary.plays,
        "completed_share": round(summary.completed_share, 4),
        "schema": opened.schema.stem,
        "quarantined": sum(file.quarantined for file in summary.files.values()),
    }
    if opened.cutoff is None:
        assert summary.first_event is not None
        assert summary.last_event is not None
        about["first_event"] = format_time(summary.first_event)
        about["last_event"] = format_time(summary.last_event)
        about["sessions"] = _sessions(connection)
    return about


def _sessions(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """How many sessions began on each day that has any."""
    rows = query(connection, "sessions.sql").to_pylist()
    return {format_time(row["day"])[:10]: row["sessions"] for row in rows}


def _roles(results: Results, last: _Last) -> Roles:
    known = {*last.ours, *last.references}
    peers = [name for name in results.contenders if name not in known]
    return Roles(last.ours, peers, last.references)


def _tables(results: Results, roles: Roles, seed: int) -> dict[str, Any]:
    names = [*roles.ours, *roles.peers, *roles.references]
    rows = answer.mean_rows(results, names, seed)
    if ORACLE in roles.references:
        answer.add_shares(rows, ORACLE)
    differences = answer.difference_rows(results, roles, seed)
    sources = answer.source_rows(results)
    return {
        "rows": rows,
        "played": answer.played_rows(results, seed),
        "best_peers": answer.best_peer_rows(rows, differences, roles),
        "differences": differences,
        "sources": sources,
        "best_sources": answer.best_source_rows(sources, results, seed),
        "by_activity": answer.activity_rows(results, names, seed),
        "by_kind": answer.kind_rows(results, names, seed),
    }


def _alone(judge: Judge, own: Own) -> dict[str, Measures]:
    """The hybrid beside each of its sources; nothing where these were not asked."""
    if not own.sources:
        return {}
    lists = {HYBRID: own.lists[HYBRID], **own.sources}
    return {name: judge.ndcg(name, found) for name, found in lists.items()}


def _tradeoff(judge: Judge, own: Own) -> list[Row]:
    """Accuracy against diversity; of one cut-off, so without intervals."""
    rows = []
    for name, varied in own.varied.items():
        for diversity, lists in varied.items():
            for view, measures in judge.measures(name, lists).items():
                ndcg, ild = (answer.mean(measures[of]) for of in ("ndcg", "diversity"))
                row = {"model": name, "view": view, "diversity": diversity}
                rows.append(row | {"ndcg": ndcg, "ild": ild})
    return rows


def _examples(connection: duckdb.DuckDBPyConnection, catalogue: Catalogue, own: Own) -> list[Row]:
    return [row for space in own.latents.values() for row in examples(connection, catalogue, space)]


def _curves(curves: Mapping[str, Curve]) -> dict[str, Any]:
    return {
        name: {
            "train": [round(loss, 6) for loss in curve.train],
            "validation": [round(loss, 6) for loss in curve.validation],
            "kept": curve.best,
        }
        for name, curve in curves.items()
    }
