"""Whether an arm may be shipped: the verdict and the guardrails together."""

from collections.abc import Iterator, Mapping
from typing import Any

from segue.statistics.guardrails import State


def shipping(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of each arm beside the control, whether it may be shipped, else every reason against it.

    ``report``: its ``verdicts``, and ``guardrails`` where the mode watches any. An arm is ready
    if its verdict says that it is better and all of its guardrails are held. While users are being
    lost, the verdict is withheld, and so no arm is ready.
    """
    found = []
    for verdict in report["verdicts"]:
        reasons = list(_reasons(verdict, report))
        found.append({"arm": verdict["arm"], "ready": not reasons, "reasons": reasons})
    return found


def _reasons(verdict: Mapping[str, Any], report: Mapping[str, Any]) -> Iterator[str]:
    if verdict["better"] != verdict["arm"]:
        yield f"{verdict['decision']}: {verdict['reason']}"
    for rail in report.get("guardrails", ()):
        if rail["arm"] == verdict["arm"] and rail["state"] != State.HELD:
            name = f"guardrail {rail['figure'].replace('_', ' ')}"
            worse = f"worse by more than {rail['margin']:g} {rail['unit']}".strip()
            if rail["state"] == State.BROKEN:
                yield f"{name} is broken: it is {worse}"
            else:
                yield f"{name} is not known yet: it may be {worse}"
