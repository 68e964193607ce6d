"""Judges an experiment whose users others assigned, by tables of exposures and outcomes.

A user counts once: as of the first exposure, and as a success if there is any. A user who was seen
in several arms is left out. The report is the one of an experiment of our own, without what only
Segue could know: models, epochs, failed calls. Its ``notes`` say what was made of the tables.
"""

import shutil
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from math import isclose
from pathlib import Path
from tempfile import TemporaryDirectory

from infra.cli.output import count
from segue.domain.errors import InvalidData
from segue.domain.times import DAY, Window, format_time
from segue.experiments.epoch import Epoch
from segue.experiments.experiment import FEWEST_ARMS, MOST_ARMS, Arm, Experiment
from segue.experiments.records import Exposure, Record
from segue.experiments.tally import Tally
from segue.reporting.document import Document, document
from training.data.exposures import (
    Columns,
    check_fields,
    columns_of,
    header,
    parse_entry,
)
from training.data.forms import layout_of
from training.data.intake import Intake
from training.data.quarantine import Quarantine
from training.data.sources import Source

# What a control is usually called; by AWS AppConfig, __c__.
_CONTROLS = ("control", "__c__", "0", "a")
# From this share of the users on, those in several arms are more than a few.
_MANY = 0.01
# Of names in a message.
_MOST_NAMES = 10
_EXPOSURES, _OUTCOMES = "exposures", "outcomes"
_NEEDED = {_EXPOSURES: ("user", "arm", "time"), _OUTCOMES: ("user", "time")}

Shares = Mapping[str, float]


@dataclass(slots=True)
class _User:
    """``exposed_at``: the first exposure, in milliseconds since 1970 UTC."""

    arm: str
    exposed_at: int
    successful: bool = False
    in_several_arms: bool = False


@dataclass(slots=True)
class _Users:
    """Who took part. ``left_out``: rows of arms that are not to be compared; ``end``: the latest
    time in the tables; ``outcomes``: successes in the table of outcomes, and ``counted``: how many
    of them are within a user's window."""

    users: dict[str, _User] = field(default_factory=dict)
    arms: set[str] = field(default_factory=set)
    left_out: Counter[str] = field(default_factory=Counter)
    experiments: set[str] = field(default_factory=set)
    end: int = 0
    outcomes: int = 0
    counted: int = 0


def judge(
    exposures: Path,
    outcomes: Path | None = None,
    *,
    quarantine: Path,
    columns: Columns | None = None,
    experiment: str | None = None,
    control: str | None = None,
    shares: Shares | None = None,
    window_days: int | None = None,
) -> Document:
    """The report on tables in CSV, Parquet or JSON Lines.

    ``exposures`` has a row for each exposure, which says whether it was a success; or ``outcomes``
    has a row for each success, which counts within ``window_days`` of its user's first exposure.
    A user whose window goes on beyond the latest time in the tables is not judged yet.

    columns: which column holds which field, where it is not called so. experiment: which one, where
    the table has several; else what to call it. shares: of the arms to compare, as allotted; by
    default all arms, and equal shares. quarantine: where rows are written that cannot be used.

    Raises InvalidData where the tables cannot be read or judged so.
    """
    if outcomes and window_days is None:
        raise InvalidData(
            "how long after the first exposure does an outcome count? Say it, as in --window-days 7"
        )
    sources = {
        table: Source(table, path, layout_of(path), str(path))
        for table, path in ((_EXPOSURES, exposures), (_OUTCOMES, outcomes))
        if path
    }
    columns_of_tables = _match_columns(sources, columns or {})
    with _intake(sources, quarantine) as intake:
        found = _read_exposures(intake, columns_of_tables[_EXPOSURES], experiment, shares)
        if outcomes and window_days:
            _read_outcomes(intake, columns_of_tables[_OUTCOMES], found, window_days)
    name = _name(exposures, found.experiments, experiment)
    arms = _arms(exposures, found, control, shares)
    report = _report(Experiment(name, arms, (window_days or 0) * DAY), found)
    notes = [
        *_on_arms(arms[0], given_control=bool(control), given_shares=bool(shares)),
        *_on_users(report, found),
        *_on_rows(intake, quarantine),
    ]
    return report | {"notes": notes}


@contextmanager
def _intake(sources: Mapping[str, Source], quarantine: Path) -> Iterator[Intake]:
    """Reads the tables' rows. A ``quarantine`` is written only if some of them cannot be used."""
    with TemporaryDirectory(prefix="segue-report-") as folder:
        rejected = Path(folder) / quarantine.name
        with Quarantine(rejected) as rejects:
            intake = Intake(sources, rejects, None, tables=sources)
            yield intake
        if any(tally.quarantined for tally in intake.tallies.values()):
            quarantine.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(rejected, quarantine)


def _match_columns(sources: Mapping[str, Source], given: Columns) -> dict[str, Columns]:
    """Of each table, which column holds which field. Raises InvalidData, naming what is there."""
    check_fields(given)
    headers = {table: header(source) for table, source in sources.items()}
    matched = {table: columns_of(names, given) for table, names in headers.items()}
    there = {name for names in headers.values() for name in names}
    named_nowhere = [repr(column) for column in given.values() if column not in there]
    for table, source in sources.items():
        fields = [name for name in _NEEDED[table] if name not in matched[table]]
        lacking = [*named_nowhere, *(f"for the {name}" for name in fields)]
        if lacking:
            raise InvalidData(
                f"{source.path} has no column {', nor '.join(lacking)}; {_there(headers[table])}: "
                "say which of them holds what, as in --columns user=account,arm=version"
            )
    outcome = matched[_EXPOSURES].get("outcome")
    if outcome is None and _OUTCOMES not in sources:
        raise InvalidData(
            f"{sources[_EXPOSURES].path} has no column for the outcome; "
            f"{_there(headers[_EXPOSURES])}: name one with --columns outcome=COLUMN, or a table of "
            "successes with --outcomes"
        )
    if outcome and _OUTCOMES in sources:
        raise InvalidData(
            f"{sources[_EXPOSURES].path} has outcomes of its own, in column {outcome!r}: leave out "
            "--outcomes, or that column"
        )
    return {**matched}


def _there(names: Sequence[str]) -> str:
    return f"its columns are {', '.join(names) or 'none'}"


def _read_exposures(
    intake: Intake, columns: Columns, experiment: str | None, shares: Shares | None
) -> _Users:
    found = _Users()
    for _, entry in intake.parsed(_EXPOSURES, partial(parse_entry, columns=columns)):
        found.end = max(found.end, entry.time)
        if entry.experiment:
            found.experiments.add(entry.experiment)
            if experiment and entry.experiment != experiment:
                continue
        if shares and entry.arm not in shares:
            found.left_out[entry.arm] += 1
            continue
        found.arms.add(entry.arm)
        user = found.users.setdefault(entry.user, _User(entry.arm, entry.time))
        user.exposed_at = min(user.exposed_at, entry.time)
        user.successful |= bool(entry.successful)
        user.in_several_arms |= user.arm != entry.arm
    return found


def _read_outcomes(intake: Intake, columns: Columns, found: _Users, window_days: int) -> None:
    # Which arm and which experiment, the exposures say.
    read = {name: column for name, column in columns.items() if name in ("user", "time", "outcome")}
    for _, entry in intake.parsed(_OUTCOMES, partial(parse_entry, columns=read)):
        found.end = max(found.end, entry.time)
        # A row is a success unless a column says that it is none.
        if entry.successful is False:
            continue
        found.outcomes += 1
        user = found.users.get(entry.user)
        if user and entry.time in Window.after(user.exposed_at, window_days):
            user.successful = True
            found.counted += 1


def _name(path: Path, found: Collection[str], wanted: str | None) -> str:
    """What the experiment is called."""
    if wanted and found and wanted not in found:
        raise InvalidData(f"{path} has no experiment {wanted!r}; it has {_listed(found)}")
    if len(found) > 1 and not wanted:
        raise InvalidData(
            f"{path} has several experiments, {_listed(found)}: name one with --experiment"
        )
    return wanted or next(iter(found), path.stem)


def _arms(path: Path, found: _Users, wanted: str | None, shares: Shares | None) -> tuple[Arm, ...]:
    """The arms to compare, the control first."""
    names = found.arms | {*found.left_out}
    if not names:
        raise InvalidData(f"{path} has no row that can be used")
    asked = [*(shares or ()), *filter(None, [wanted])]
    if absent := [name for name in asked if name not in found.arms]:
        raise InvalidData(f"{path} has no arm {_listed(absent)}; it has {_listed(names)}")
    if not FEWEST_ARMS <= len(found.arms) <= MOST_ARMS:
        raise InvalidData(
            f"{path} has {count(len(found.arms), 'arm')}, {_listed(found.arms)}; there must be "
            f"{FEWEST_ARMS} to {MOST_ARMS}: --shares picks some"
        )
    control = wanted or _usual_control(sorted(found.arms))
    ordered = [control, *sorted(found.arms - {control})]
    if shares is None:
        shares = dict.fromkeys(ordered, 1 / len(ordered))
    if min(shares.values()) <= 0 or not isclose(sum(shares.values()), 1, abs_tol=1e-9):
        raise InvalidData("--shares: each must be above 0, and all of them must sum to 1")
    # Of what model an arm is, the report says nothing.
    return tuple(Arm(name, 0, shares[name]) for name in ordered)


def _usual_control(arms: Sequence[str]) -> str:
    usual = (arm for name in _CONTROLS for arm in arms if arm.lower() == name)
    return next(usual, arms[0])


def _report(experiment: Experiment, found: _Users) -> Document:
    users = {name: user for name, user in found.users.items() if not user.in_several_arms}
    pending = {
        name: user
        for name, user in users.items()
        # Without a window, outcomes are final.
        if experiment.window and user.exposed_at + experiment.window > found.end
    }
    records = (
        _record(name, user, experiment) for name, user in users.items() if name not in pending
    )
    # Whether a call failed is not known; of records, a tally says that none did.
    tally = replace(Tally.of(records), figures={})
    report = document(
        Epoch(experiment, bundle=""), tally, Counter(user.arm for user in pending.values())
    )
    unknown = {"side": None, "epoch": None, "bundle": None}
    if not experiment.window:
        unknown["window_days"] = None
    return report | {
        "experiment": report["experiment"] | unknown,
        "arms": [arm | {"model_id": None, "model": None} for arm in report["arms"]],
        "guardrails": [],
        # That rests on guardrails.
        "shipping": [],
    }


def _record(name: str, user: _User, experiment: Experiment) -> Record:
    exposure = Exposure(name, user.arm, "", "", (), user.exposed_at, user.exposed_at)
    return Record(exposure, user.successful, user.exposed_at + experiment.window)


def _on_arms(control: Arm, *, given_control: bool, given_shares: bool) -> Iterator[str]:
    if not given_control:
        why = "by its name" if control.group.lower() in _CONTROLS else "the first by name"
        yield f"The control is {control.group}, {why}; --control names another."
    if not given_shares:
        yield "Arms are taken to have been allotted equal shares of users; --shares says otherwise."


def _on_users(report: Document, found: _Users) -> Iterator[str]:
    days = report["experiment"]["window_days"]
    if days is None:
        yield "Each outcome is taken as final: no --window-days says when it is."
    else:
        waiting = sum(arm["assigned"] - arm["users"] for arm in report["arms"])
        yield (
            f"The tables end at {format_time(found.end)}; by then, the window of {days:g} days "
            f"had not passed for {count(waiting, 'user')}, who will be judged later."
        )
    if found.left_out:
        arms = ", ".join(f"{arm} ({rows:,})" for arm, rows in sorted(found.left_out.items()))
        yield f"Rows of arms that --shares does not name are left out: {arms}."
    if found.outcomes:
        yield (
            f"{count(found.outcomes, 'outcome')}, {found.counted:,} of them within the window of "
            "a user of the experiment."
        )
    if several := sum(user.in_several_arms for user in found.users.values()):
        share = several / len(found.users)
        yield f"Left out, as seen in several arms: {count(several, 'user')} ({share:.1%})."
        if share >= _MANY:
            yield (
                "These are more than a few: users change arms, or exposures are logged wrongly. "
                "Find out which before you act on this report."
            )


def _on_rows(intake: Intake, quarantine: Path) -> Iterator[str]:
    for tally in intake.tallies.values():
        if tally.quarantined:
            reasons = "; ".join(f"{why} ({n:,})" for why, n in tally.reasons.most_common(3))
            yield (
                f"{tally.file}: {tally.quarantined:,} of {count(tally.read, 'row')} could not be "
                f"used: {reasons}. All of them are in {quarantine}."
            )


def _listed(names: Collection[str]) -> str:
    shown = sorted(names)[:_MOST_NAMES]
    return ", ".join(shown) + (", ..." if len(names) > len(shown) else "")
