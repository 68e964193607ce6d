"""Listeners whose tastes are known, against a running service: is its report right?

They come from the demo data's truth. Each has a past, is shown what the experiment's arm
recommends, plays, skips and likes by taste, and sends that back. What they would have made of the
other arm's list is known, too, so the true difference between the arms is; and so is what the
report has to count. Scenarios check more than that: growing traffic, fresh lists, layers, adaptive
allocation, and shipping.
"""

from infra.simulator.faults import Fault
from infra.simulator.plan import Plan, Scenario
from infra.simulator.run import simulate

__all__ = ["Fault", "Plan", "Scenario", "simulate"]
