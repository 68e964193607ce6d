"""``segue stats``: what two arms' counts say, and whether they decide anything."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli.options import Json
from infra.cli.output import console, extent, write_json
from segue.domain.errors import InvalidRequest

if TYPE_CHECKING:
    from segue.statistics.comparison import Comparison
    from segue.statistics.counts import Counts

_COUNTS = "SUCCESSES/USERS"
# More than any count of users has; what else they spell is refused by its value.
_MOST_DIGITS = 18


def stats(
    a: Annotated[str, typer.Argument(metavar=_COUNTS, help="Arm A, the control, such as 6/20.")],
    b: Annotated[str, typer.Argument(metavar=_COUNTS, help="Arm B, such as 14/20.")],
    share: Annotated[float, typer.Option(help="B's share of the users, as allotted.")] = 0.5,
    difference: Annotated[
        float | None,
        typer.Option(help="The gain in rate that the test is to find: says how far along it is."),
    ] = None,
    json_file: Json = None,
) -> None:
    """Compare two arms. The verdict is right however often one looks; see docs/statistics.md."""
    from segue.statistics.comparison import compare

    comparison = compare(_read("A", a), _read("B", b), share, difference)
    console(json_file).print(_table(comparison))
    write_json(json.dumps(comparison.as_json(), allow_nan=False, indent=2), json_file)


def _read(arm: str, text: str) -> "Counts":
    from segue.statistics.counts import Counts

    successes, slash, users = text.partition("/")
    if not (slash and _is_count(successes) and _is_count(users)):
        raise InvalidRequest(f"arm {arm} is {text!r}; {_COUNTS} is wanted, such as 6/20", field=arm)
    try:
        return Counts(int(successes), int(users))
    except InvalidRequest as error:
        raise InvalidRequest(f"arm {arm}: {error}", field=arm) from None


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS


def _table(found: "Comparison") -> str:
    sections = {
        "": _arms(found),
        "At any time": _any_time(found),
        "At one look, at a size set beforehand": _one_look(found),
    }
    lines = []
    for title, rows in sections.items():
        lines += ["", title] if title else []
        lines += [f"{name:<34}{value}" for name, value in rows]
    return "\n".join([*lines, "", str(found.verdict)])


def _arms(found: "Comparison") -> list[tuple[str, str]]:
    return [
        (f"{name}: {arm.successes:,}/{arm.users:,}", _number(arm.rate, "no users"))
        for name, arm in (("A", found.a), ("B", found.b))
    ]


def _any_time(found: "Comparison") -> list[tuple[str, str]]:
    from segue.statistics.evalue import in_words

    evidence, users = found.evidence, found.sample_ratio
    rows = [
        ("E+ for B, E- for A", f"{in_words(evidence.log_plus)}, {in_words(evidence.log_minus)}"),
        ("evidence: half of the greater", in_words(evidence.log_deciding)),
        ("p-value", f"{evidence.p_value:.4g}"),
        ("rate B - rate A", "withheld" if users.is_off else extent(found.confidence)),
        ("rate B / rate A - 1", "withheld" if users.is_off else extent(found.lift_confidence)),
        ("evidence of lost users E", in_words(users.log_e)),
        ("difference these users can show", _number(found.detectable_difference, "none")),
    ]
    if found.progress:
        needed, done = found.progress.users_needed, found.progress.done
        rows.append(("users of both arms needed", f"{needed:,.0f}, of which there are {done:.0%}"))
    return rows


def _one_look(found: "Comparison") -> list[tuple[str, str]]:
    belief = found.posterior
    return [
        ("rate A (Wilson)", _interval(found.wilson_a)),
        ("rate B (Wilson)", _interval(found.wilson_b)),
        ("rate B - rate A (Newcombe)", _interval(found.newcombe)),
        ("p-value (Fisher)", f"{found.fisher:.4g}"),
        ("p-value (Boschloo)", _number(found.boschloo, "too many users for it")),
        ("p-value (pooled z)", f"{found.pooled_z:.4g}"),
        ("P(B > A)", f"{belief.b_beats_a:.4f}"),
        ("loss of choosing A, B", f"{belief.loss_choosing_a:.4g}, {belief.loss_choosing_b:.4g}"),
        ("p-value of the shares", f"{found.sample_ratio.p_value:.4g}"),
    ]


def _interval(interval: tuple[float, float]) -> str:
    low, high = interval
    return f"[{low:.4f}, {high:.4f}]"


def _number(value: float | None, otherwise: str) -> str:
    return otherwise if value is None else f"{value:.4g}"
