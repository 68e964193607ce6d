"""Invented names: genres, artists, tracks, listeners, cities and streets.

Everything is put together from the word lists below, so that no real artist, work, person or
address has to be borrowed. A draw is an index into a list, made from numbers in [0, 1), so the
same numbers give the same names everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def _words(text: str, between: str = " ") -> list[str]:
    return text.split(between)


ADJECTIVES = _words(
    "Amber Ashen Borrowed Bright Broken Careful Clouded Copper Crooked Distant Drifting Early "
    "Electric Empty Endless Faded Famous Feral Foreign Fragile Gentle Gilded Glass Golden Half "
    "Hidden Hollow Honest Hungry Idle Indigo Inner Iron Kind Last Late Lesser Little Lonely Lost "
    "Lucky Marble Midnight Minor Mirrored Misty Modest Narrow Nervous Northern Open Orbital Pale "
    "Paper Patient Plain Private Quiet Restless Rising Rusty Salted Scarlet Second Secret Silent "
    "Silver Simple Sleepless Slow Small Smoky Soft Southern Spare Static Steady Strange Sudden "
    "Summer Sunken Tender Tidal Tired Turning Twin Velvet Violet Wandering Warm Weathered White "
    "Wild Winter Wooden Yellow Young"
)

NOUNS = _words(
    "Almanac Anchor Antenna Arcade Archive Atlas Balcony Ballroom Basin Beacon Bicycle Bonfire "
    "Boulevard Bridge Canal Candle Carousel Cartographer Causeway Cellar Chapel Chimney Clockwork "
    "Coastline Compass Corridor Courtyard Current Delta Departure Domino Echo Ember Engine "
    "Evening Feather Ferry Festival Firefly Fountain Gallery Garden Greenhouse Harbour Harvest "
    "Heather Holiday Horizon Island Junction Kettle Kingfisher Ladder Lagoon Lamplight Landslide "
    "Lantern Lighthouse Lullaby Machine Magnet Marina Meadow Memory Meridian Meteor Mirror "
    "Monsoon Morning Mountain Needle Night Notebook Ocean Orchard Paperback Parade Passenger "
    "Pavilion Pendulum Photograph Planet Platform Postcard Quarry Radio Railway Rainfall "
    "River Rooftop Sailor Satellite Scarecrow Season Shadow Signal Skyline Snowfall Souvenir "
    "Sparrow Staircase Station Stranger Summit Sunday Swimmer Tapestry Telegram Terrace Theatre "
    "Thunder Tide Timetable Tower Traveller Umbrella Valley Veranda Viaduct Voyage Wardrobe "
    "Watchman Waterline Weather Weekend Whisper Wildfire Willow Window Workshop Yesterday"
)

VERBS = _words(
    "Carry Chase Count Cross Draw Follow Forget Hold Keep Leave Light Mend Name Paint Promise "
    "Remember Repeat Save Send Steal Trade Trust Wake Walk"
)

PLACES = _words(
    "the Aviary, the Basement, the Blue Hour, Calder Street, Dunmere, the Far Side, the Gardens, "
    "the Hallway, Ivory Bay, July, the Kitchen, Lower Town, the Middle Distance, November, Oslin, "
    "the Open, Port Ellory, Quarter Time, Reverse, the Rain, Saltmarsh, Slow Motion, the Suburbs, "
    "Technicolour, the Undergrowth, Vellinge, the West Wing, Your Absence",
    between=", ",
)

FIRST_NAMES = _words(
    "Ada Adela Aleks Alma Amira Anouk Ariel Aron Astrid Bela Benita Bruno Cecylia Celia Ciro "
    "Dalia Damir Daria Edda Elio Elka Emil Enzo Ester Fabia Felka Filip Flora Gaja Greta Hela "
    "Hugo Iga Ilja Ines Iwo Jagna Jarek Jonas Judyta Kaja Kamil Kasper Klemens Kora Kornel Lara "
    "Lech Lew Lila Linus Livia Luca Luna Maks Malina Marika Mateo Mila Milan Mira Nadia Nela "
    "Nikola Noe Nora Odeta Ola Olaf Orla Oskar Otylia Pola Quentin Radek Remi Rita Roman Rufus "
    "Sabina Salome Samir Selma Silas Sonja Stella Tadeo Tamara Teo Tola Ulla Uma Vera Viktor Vito "
    "Wanda Wera Wiktor Xenia Yara Zoja Zyta"
)

SURNAME_STARTS = _words(
    "Bar Bel Bor Bru Cze Dem Dob Dre Fal Gaj Gor Gra Hal Jar Kal Kar Kos Lem Lin Lip Mal Mar Mir "
    "Nor Olb Ost Pal Per Por Rad Rem Ros Sar Sol Sta Tar Tul Wal War Wes Wil Wro Zal Zar Zem"
)
SURNAME_ENDS = _words(
    "acki adzik ala anek arski asz berg czak czyn dal dera ecki elin enko erski etto ewicz holm "
    "ina inski iorek kowiak lewski mann nar nicz olski oni ora ovan owik rzyk sen son szek tyla "
    "ulak unda wood ycki"
)

CITIES = _words(
    "Bystrzno, Dolany, Dunmere, Goldawa, Grabin, Jarowiec, Kamionna, Lipowa Góra, Modrzew, "
    "Nowe Brzegi, Olszany, Port Ellory, Rzecznik, Saltmarsh, Sosnowa Wola, Stary Most, Szarotka, "
    "Tarniny, Vellinge, Wierzbna, Wrzosowo, Zatoka, Zielin",
    between=", ",
)

STREETS = _words(
    "Bursztynowa Ceglana Cicha Dzwonkowa Falista Gwiezdna Jaskółcza Jesionowa Kaflowa Kwarcowa "
    "Latawcowa Lniana Makowa Mglista Mosiężna Muszlowa Nutowa Organowa Paprociowa "
    "Piaskowa Płócienna Porzeczkowa Promowa Rumiankowa Rybitwy Skrzypcowa Srebrna Szafirowa "
    "Tkacka Trzcinowa Wiolinowa Wrzosowa Zegarowa Żaglowa Żurawia"
)
STREET_KINDS = ("ul.", "ul.", "ul.", "al.", "pl.")

Picks = npt.NDArray[np.float64]


def _pick(words: Sequence[str], number: float) -> str:
    return words[int(number * len(words))]


def artist_name(n: Picks) -> str:
    """An artist's name from ``n``, five numbers in [0, 1)."""
    if n[0] < 0.3:
        return f"{_pick(FIRST_NAMES, n[1])} {_surname(n[2], n[3])}"
    if n[0] < 0.5:
        return f"The {_pick(ADJECTIVES, n[1])} {_plural(_pick(NOUNS, n[2]))}"
    if n[0] < 0.7:
        return f"{_pick(ADJECTIVES, n[1])} {_pick(NOUNS, n[2])}"
    if n[0] < 0.85:
        return f"{_pick(NOUNS, n[1])} & {_pick(NOUNS, n[2])}"
    return f"{_pick(FIRST_NAMES, n[1])} and the {_plural(_pick(NOUNS, n[2]))}"


def track_name(n: Picks) -> str:
    """A track's title from ``n``, five numbers in [0, 1)."""
    title = _title(n)
    if n[4] < 0.03:
        return f"{title} (Live in {_pick(CITIES, n[3])})"
    if n[4] < 0.06:
        return f"{title} - Remastered"
    return title


def _title(n: Picks) -> str:
    noun = _pick(NOUNS, n[2])
    if n[0] < 0.35:
        return f"{_pick(ADJECTIVES, n[1])} {noun}"
    if n[0] < 0.5:
        return f"{_pick(ADJECTIVES, n[1])} {_plural(noun)}"
    if n[0] < 0.65:
        return f"{noun} in {_pick(PLACES, n[1])}"
    if n[0] < 0.8:
        return f"{_pick(VERBS, n[1])} the {noun}"
    if n[0] < 0.9:
        return f"{_pick(NOUNS, n[1])} of {_plural(noun)}"
    return f"{noun}, {_pick(ADJECTIVES, n[1])}"


def listener_name(n: Picks) -> str:
    """A person's name from ``n``, three numbers in [0, 1)."""
    return f"{_pick(FIRST_NAMES, n[0])} {_surname(n[1], n[2])}"


def street(n: Picks) -> str:
    """A street and a house number from ``n``, three numbers in [0, 1)."""
    return f"{_pick(STREET_KINDS, n[0])} {_pick(STREETS, n[1])} {1 + int(n[2] * 120)}"


def city(number: float) -> str:
    """A city from one number in [0, 1)."""
    return _pick(CITIES, number)


def _surname(start: float, end: float) -> str:
    return _pick(SURNAME_STARTS, start) + _pick(SURNAME_ENDS, end)


def _plural(noun: str) -> str:
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun if noun.endswith("s") else noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"
