"""The model card of a bundle: what it is, what it saw, how good it was, and what it is not for.

After Mitchell et al., "Model Cards for Model Reporting", 2019. It says nothing that the manifest
does not, but in words, and to somebody who has never seen the project.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from segue.features.encoder import Encoder, FeatureEncoder
from segue.models.registry import REGISTRY

CARD = "card.md"

Model = Mapping[str, Any]

_KINDS = {
    "numeric": "a number",
    "categorical": "one of {width} values",
    "multi_hot": "which of {width} labels it has",
    "hashed": "a label, as {width} numbers",
}
_LIMITS = """\
## What it is for

It ranks the tracks of one catalogue for a listener of the service whose listening it was trained
on: lists of recommendations, tracks similar to a track, and A/B tests between the models.

## What it is not for, and where it is weak

- Other catalogues and other services: names, scales and habits are those of the data above.
- Decisions about people. A score says which track is likelier than another to be played to its end,
  and nothing about anybody's mood, health, beliefs or worth.
- Listeners without a single play in the last 30 days: they get popular tracks of their favourite
  genres, from no model at all.
- What is popular is recommended more than it is played, and what few play, less. The field
  `diversity` of a request works against that.
- A play counts as full when no skip follows it. Who fell asleep counts as a fan.
- Tastes and charts move on. What it says of "now" is as of the cut-off, so train it anew at least
  every month.

## What it holds of people

Sums over all listeners, and networks fitted on them; no profile, no history, no listener's name. A
listener's own history is read with each request. With few listeners, what one of them alone has
played can show in the numbers of a track: keep a bundle as you keep the data.
"""


def model_card(content: Mapping[str, Any], models: Sequence[Model], encoder: Encoder) -> str:
    """The card, as Markdown. content: that of the manifest; models: as the manifest lists them."""
    return "\n".join(
        [
            "# Model card: recommendations of tracks\n",
            f"Each of {len(models)} models scores every track of a catalogue for a listener.",
            "They were trained on what lies before a cut-off, and on nothing after it.\n",
            "## What each does\n",
            *(f"- **{model['id']} {model['name']}**: {_says(model['id'])}" for model in models),
            "\n## What they saw\n",
            *_data(content),
            *_inputs("Of a track", encoder.track),
            *_inputs("Of a listener, beside what they played", encoder.user),
            "\n## How good they were\n",
            *_quality(models),
            f"\n{_LIMITS}",
        ]
    )


def _says(number: int) -> str:
    """What a model's own file says of it, without its name."""
    (first, *_) = str(sys.modules[REGISTRY[number][1].__module__].__doc__).splitlines()
    said = first.partition(": ")[2] or first
    return said[0].upper() + said[1:]


def _data(content: Mapping[str, Any]) -> Iterator[str]:
    data = content["data"]
    yield f"- Cut-off: {content['cutoff']}; seed: {content['seed']}"
    if "continued" in content:
        times = content["continued"]["times"]
        yield (
            f"- Training went on from bundle {content['continued']['from']}; since the last "
            f"training in full it has done so {times} time{'s' * (times > 1)}"
        )
    yield (
        f"- {data['plays_before_cutoff']:,} plays by {data['listeners_before_cutoff']:,} listeners "
        f"before the cut-off, from {data['first_event']} on"
    )
    yield (
        f"- {data['tracks']:,} tracks by {data['artists']:,} artists, of which "
        f"{data['released_before_cutoff']:,} tracks were out at the cut-off and could be learnt "
        "from"
    )
    yield f"- {data['quarantined']:,} lines of the data could not be used"
    for note in content.get("notes", ()):
        yield f"- {note[0].upper()}{note[1:]}"


def _inputs(what: str, features: Sequence[FeatureEncoder]) -> Iterator[str]:
    named = (
        f"{one.feature.name} ({_KINDS[one.feature.kind].format(width=one.width)})"
        for one in features
    )
    if features:
        yield f"- {what}: {', '.join(named)}"


def _quality(models: Sequence[Model]) -> Iterator[str]:
    """Two tables: what came of lists after the cut-off, and of losses on what was held out."""
    judged = [model for model in models if "listeners" in model["metrics"]]
    if judged:
        hit, ndcg = (key for key in judged[0]["metrics"] if "@" in key)
        yield (
            "Lists as of the cut-off, judged by what their listeners then fully played in 30 days. "
            f"{hit} is the share of listeners who played at least one track of the list; {ndcg} "
            "also counts how many, and how far up (1 is perfect). Of "
            f"{judged[0]['metrics']['drawn_from']:,} listeners who can be judged, those in the "
            "table were drawn at random. It is one month: `segue evaluate` asks all of them, and "
            "says more, with intervals, and beside other recommenders.\n"
        )
        yield from _table(judged, ("listeners", hit, ndcg))
    else:
        yield "The data does not reach a month beyond the cut-off, so no list could be judged."
    learnt = [model for model in models if "validation_loss" in model["metrics"]]
    if learnt:
        yield (
            "\nLosses, each in its model's own unit, on what was learnt from and on what was held "
            "out. The gap between them is how much was learnt by heart.\n"
        )
        yield from _table([_with_gap(model) for model in learnt], _LOSSES)


_LOSSES = ("train_loss", "validation_loss", "gap")


def _with_gap(model: Model) -> Model:
    metrics = model["metrics"]
    gap = round(metrics["validation_loss"] - metrics["train_loss"], 6)
    return {**model, "metrics": {**metrics, "gap": gap}}


def _table(models: Sequence[Model], columns: Sequence[str]) -> Iterator[str]:
    yield f"| model | {' | '.join(column.replace('_', ' ') for column in columns)} |"
    yield "|---" * (len(columns) + 1) + "|"
    for model in models:
        cells = (f"{model['metrics'][column]:,}" for column in columns)
        yield f"| {model['name']} | {' | '.join(cells)} |"
