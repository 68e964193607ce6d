"""Demo data in the Pozytywka format, drawn from a truth that is known and written down.

``generate`` writes a folder: ``tracks.jsonl``, ``artists.jsonl``, ``users.jsonl``,
``sessions.jsonl.gz`` (2022-01-01 up to 2022-10-02, both in UTC) and ``truth.npz``. The same seed
gives the same bytes. (What is inside the .gz is the same everywhere; its compressed bytes also
depend on the zlib that Python was built with.)

What is true
------------
Every play comes from one of six sources, chosen by the listener's own fixed weights:

1. **chart**: the week's chart, by rank. Each week about an eighth of it is replaced, mostly by new
   releases, so what was popular in spring is not what is popular in autumn.
2. **genre**: a track of one of three favourite genres, by appeal. (The profile names these genres
   mostly, but not always, truly.)
3. **artist**: a track of one of fourteen favourite artists, by appeal. Most of them belong to one
   *circle*, a group of artists across genres that the same people love and no file names.
4. **sound**: a track near one of one or two points in audio-feature space.
5. **repeat**: something played in an earlier session. A play's weight is 1 when it was finished,
   2 when liked, 0.15 when skipped, and fades by exp(-age / memory), the memory being the
   listener's own.
6. **chance**: any released track.

A track that plays is skipped with the log-odds ``habit + 0.2 - match`` and, played to the end,
liked with the log-odds ``habit - 2.5 + 0.8 match`` (a quarter of that chance when it is skipped).
The habits are the listener's own; the match is 0.9 for a favourite genre, 1.0 for a favourite
artist, and up to 1.3 for closeness to an audio taste. Nobody plays what is not released yet.

Free listeners hear adverts between tracks, and an advert sometimes makes one buy premium, after
which there are none. A few listeners are silent, a few are gone by August, some join or leave
during the year; activity differs widely.

``taste.py`` is the one place that defines this. The history is drawn from it, and ``Oracle``
computes with it, from ``truth.npz``, how likely each track is to be a listener's next finished play
as of a time. Its ranking is the ceiling for every model.
"""

from infra.demo.generate import DemoSummary, generate
from infra.demo.taste import Heard, Taste
from infra.demo.truth import Oracle

__all__ = ["DemoSummary", "Heard", "Oracle", "Taste", "generate"]
