"""Listeners whose tastes are known, against a running service: is its report right?

They come from the demo data's truth. Each has a past, is shown what the experiment's arm
recommends, plays, skips and likes by taste, and sends that back. What they would have made of the
other arm's list is known, too, so the true difference between the arms is; and so is what the
report has to count.
"""

from infra.simulator.faults import Fault
from infra.simulator.run import Plan, simulate

__all__ = ["Fault", "Plan", "simulate"]
