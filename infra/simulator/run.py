"""A simulation from its first listener to the report."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean

from infra.progress import Report
from infra.simulator.listeners import Crowd
from infra.simulator.plan import CONTROL, TREATMENT, Plan
from infra.simulator.scenarios import Check, better_arm, count, counts, play
from infra.simulator.simulation import Api, Document, Simulation, Visit
from segue.domain.times import parse_time


def simulate(api: Api, data: Path, plan: Plan, report: Report) -> Document:
    """Play it through; the answer holds the truth, the listeners' own counts and the report.

    ``data``: the demo data that the service's models were trained on. Raises ServiceError and
    ``segue_client.ApiError``, and InvalidData where they do not belong together.
    """
    cutoff = parse_time(api.call("GET", "/models")["cutoff"])
    simulation = Simulation(api, Crowd(data, plan.seed, cutoff), plan)
    visits, checks = play(simulation, report)
    return _answer(plan, visits, checks, simulation.report())


def _answer(
    plan: Plan, visits: Sequence[Visit], checks: Sequence[Check], report: Document
) -> Document:
    rates = {group: fmean(visit.chances[group] for visit in visits) for group in plan.models}
    better = better_arm(visits)
    expected = {group: count(visits, group) for group in plan.models}
    named = report["verdicts"][0]["better"]
    return {
        "experiment": plan.experiment,
        "epoch": report["experiment"]["epoch"],
        "seed": plan.seed,
        "listeners": plan.listeners,
        "fault": plan.fault,
        "scenario": plan.scenario,
        "truth": {
            "rates": rates,
            "difference": rates[TREATMENT] - rates[CONTROL],
            "better": better,
        },
        "counts": {
            "listeners": expected,
            "service": counts(report),
            "exact": counts(report) == expected,
        },
        "checks": [asdict(check) for check in checks],
        "named": named,
        "right": None if named is None else named == better,
        "report": report,
    }
