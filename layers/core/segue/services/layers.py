"""Layers: which users an experiment has, so that experiments of one layer share none."""

from collections.abc import Callable
from dataclasses import replace

from segue.experiments.experiment import Experiment, check_name
from segue.experiments.layers import ALL, Layer, first, parts_of
from segue.ports import ExperimentStore


class Layers:
    """Everything raises StoreUnavailable.

    A layer gives users to an experiment before the experiment says that it has them, and takes them
    back after it has said that it has them no more; so whatever is stopped in between, no user is
    in two.
    """

    def __init__(self, experiments: ExperimentStore) -> None:
        self._experiments = experiments

    def all(self) -> list[Layer]:
        """By name."""
        return sorted((layer for layer, _ in self._experiments.layers()), key=lambda it: it.name)

    def hold_out(self, name: str, share: float) -> Layer:
        """Let so many of the layer's users be in no experiment.

        Raises InvalidRequest naming the field, also where experiments have them already.
        """
        check_name(name)
        return self._change(name, lambda layer: layer.holding_out(share))

    def admit(self, experiment: Experiment) -> Experiment:
        """With the users that it has from now on. Raises InvalidRequest where too few are free."""
        if experiment.layer is None:
            return replace(experiment, slots=first(ALL, parts_of(experiment.traffic)))
        name, traffic = experiment.name, experiment.traffic
        layer = self._change(experiment.layer, lambda it: it.granting(name, traffic))
        return replace(experiment, slots=first(layer.taken[name], parts_of(traffic)))

    def release(self, experiment: Experiment) -> None:
        """Let others have the experiment's users."""
        if experiment.layer is not None:
            self._change(experiment.layer, lambda it: it.without(experiment.name))

    def _change(self, name: str, change: Callable[[Layer], Layer]) -> Layer:
        while True:
            layer, tag = self._experiments.layer(name) or (Layer(name), None)
            changed = change(layer)
            if changed == layer or self._experiments.save_layer(changed, tag):
                return changed
