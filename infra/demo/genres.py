"""The genres of the demo catalogue: ten families of six, and how each family sounds.

A family's sound is a point in *sound space*, whose eight axes are standard scores of the audio
features in ``SOUND``. The names are invented.
"""

from __future__ import annotations

from typing import NamedTuple

SOUND = (
    *("danceability", "energy", "loudness", "speechiness"),
    *("acousticness", "instrumentalness", "valence", "tempo"),
)


class Family(NamedTuple):
    """A family of genres. ``sound`` follows the order of ``SOUND``; ``share`` is of all artists."""

    genres: tuple[str, ...]
    sound: tuple[float, ...]
    share: float
    explicit: float


FAMILIES = (
    Family(
        ("lantern pop", "glass pop", "city pop noir", "paper pop", "marina pop", "slow-glow pop"),
        (0.5, 0.4, 0.5, -0.2, -0.4, -0.6, 0.5, 0.1),
        0.18,
        0.08,
    ),
    Family(
        ("harbour rock", "gravel rock", "attic rock", "motorway rock", "pier punk", "salt garage"),
        (-0.4, 0.9, 0.8, -0.2, -0.8, -0.2, 0.1, 0.4),
        0.16,
        0.05,
    ),
    Family(
        (
            "river folk",
            "hearth folk",
            "tin-roof folk",
            "chapel folk",
            "orchard country",
            "barnlight",
        ),
        (-0.1, -0.9, -0.7, -0.3, 1.2, -0.3, 0.0, -0.2),
        0.12,
        0.01,
    ),
    Family(
        ("cinder rap", "tower rap", "lowlight rap", "brick hop", "ferry drill", "jazz cipher"),
        (1.0, 0.3, 0.2, 1.7, -0.4, -0.6, 0.0, 0.0),
        0.12,
        0.45,
    ),
    Family(
        (
            "neon house",
            "basement house",
            "pulse trance",
            "acid tram",
            "glasshouse techno",
            "wirebeat",
        ),
        (0.9, 0.8, 0.5, -0.2, -1.0, 1.1, 0.2, 0.3),
        0.11,
        0.03,
    ),
    Family(
        ("iron metal", "ash metal", "winter metal", "forge core", "rust core", "cathedral doom"),
        (-1.1, 1.4, 1.2, 0.3, -1.3, 0.5, -0.9, 0.5),
        0.07,
        0.12,
    ),
    Family(
        ("still ambient", "tide ambient", "fog drone", "felt piano", "moss tape", "night strings"),
        (-1.3, -1.6, -1.7, -0.4, 1.3, 2.0, -1.1, -0.5),
        0.06,
        0.0,
    ),
    Family(
        (
            "blue cellar jazz",
            "lamp swing",
            "corner bop",
            "smoke trio",
            "brass parade",
            "modal drift",
        ),
        (0.0, -0.7, -0.7, -0.2, 1.0, 0.9, 0.2, 0.0),
        0.06,
        0.01,
    ),
    Family(
        (
            "velvet soul",
            "copper soul",
            "late-bus soul",
            "honey funk",
            "rooftop funk",
            "plush disco",
        ),
        (0.8, 0.2, 0.1, 0.0, 0.0, -0.3, 0.8, -0.3),
        0.07,
        0.09,
    ),
    Family(
        ("sunlit cumbia", "plaza salsa", "delta samba", "coral dub", "lagoon beat", "fiesta brass"),
        (0.9, 0.5, 0.3, 0.1, 0.1, -0.5, 1.2, -0.2),
        0.05,
        0.06,
    ),
)
GENRES = tuple(genre for family in FAMILIES for genre in family.genres)
GENRES_PER_FAMILY = 6
