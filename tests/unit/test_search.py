"""Tracks as people look them up, and lists that are filtered, boosted and explained."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from segue.domain.descriptions import TrackCard
from segue.domain.errors import InvalidFilter, UnknownTrack, UnknownUser
from segue.models.registry import REGISTRY
from segue.ranking.filters import matching
from segue.services.recommend import Query, Recommendation
from segue.services.similar import SimilarQuery
from segue.services.tracks import TrackQuery
from tests.unit.conftest import World


@dataclass
class Catalogued:
    """A world in which somebody withdraws tracks."""

    world: World

    def __post_init__(self) -> None:
        world = self.world
        self.withdrawn = world.track_store
        self.tracks = world.catalogue_tracks
        self.recommender = world.recommender
        genre = self.tracks.genres()[0].genre
        world.join("fan", genre)
        world.join("player", genre)
        world.play("player", world.tracks(0, 30))

    def recommend(self, user: str = "player", model: int = 3, **asked: object) -> Recommendation:
        return self.recommender.recommend(replace(Query(user, model, k=20), **asked))


@pytest.fixture
def catalogued(world: World) -> Catalogued:
    return Catalogued(world)


USERS = ["player", "fan"]
# The autoencoder's space has no track that is out of the list by itself.
everyone = pytest.mark.parametrize(
    ("user", "model"), [(user, model) for user in USERS for model in REGISTRY]
)


class TestTrack:
    def test_is_told_with_all_that_the_data_say_of_it(self, catalogued: Catalogued) -> None:
        track_id = catalogued.world.tracks(5, 6)[0]
        details = catalogued.tracks.track(track_id)
        assert details.card == catalogued.world.bundle.cards(np.array([5]))[0]
        assert details.attributes == catalogued.world.bundle.descriptions.attributes(5)
        assert details.available
        catalogued.withdrawn.set_available(track_id, available=False)
        assert not catalogued.tracks.track(track_id).available

    @pytest.mark.parametrize("track_id", ["no such track", "", "0\0"])
    def test_that_is_not_there_is_unknown(self, catalogued: Catalogued, track_id: str) -> None:
        with pytest.raises(UnknownTrack, match="there is no track"):
            catalogued.tracks.track(track_id)


class TestSearch:
    def test_finds_a_track_by_its_title_until_it_is_withdrawn(self, catalogued: Catalogued) -> None:
        card = catalogued.tracks.track(catalogued.world.tracks(7, 8)[0]).card
        query = TrackQuery(f"{card.title} {card.artist}")
        assert card in catalogued.tracks.search(query)
        catalogued.withdrawn.set_available(card.track_id, available=False)
        assert card not in catalogued.tracks.search(query)

    def test_without_text_gives_the_most_popular_that_the_filter_holds_for(
        self, catalogued: Catalogued
    ) -> None:
        query = TrackQuery(limit=600, filter="energy > 0.5", explicit=False)
        cards = catalogued.tracks.search(query)
        assert not any(card.explicit for card in cards)
        popularity = [card.popularity for card in cards]
        assert popularity == sorted(popularity, reverse=True)
        bundle = catalogued.world.bundle
        expected = matching("energy > 0.5", bundle) & ~bundle.catalogue.explicit
        assert len(cards) == expected.sum() > 0

    def test_refuses_a_filter_that_cannot_be_read(self, catalogued: Catalogued) -> None:
        with pytest.raises(InvalidFilter):
            catalogued.tracks.search(TrackQuery(filter="energy >"))


class TestGenres:
    def test_come_with_their_tracks_most_first(self, catalogued: Catalogued) -> None:
        genres = catalogued.tracks.genres()
        members = catalogued.world.bundle.catalogue.genres
        assert {it.genre: it.tracks for it in genres} == {n: len(t) for n, t in members.items()}
        counts = [it.tracks for it in genres]
        assert counts == sorted(counts, reverse=True)


class TestLists:
    @everyone
    def test_a_filter_holds_for_every_track_and_the_list_is_as_long_as_it_can_be(
        self, catalogued: Catalogued, user: str, model: int
    ) -> None:
        where = "energy > 0.5 and not explicit"
        answer = catalogued.recommend(user, model, filter=where, k=100)
        bundle = catalogued.world.bundle
        assert matching(where, bundle)[bundle.catalogue.positions(answer.tracks)].all()
        assert len(answer.tracks) == min(100, matching(where, bundle).sum())

    @everyone
    def test_a_filter_leaves_the_order_of_the_others_as_it_was(
        self, catalogued: Catalogued, user: str, model: int
    ) -> None:
        whole = catalogued.recommend(user, model, k=600).tracks
        filtered = catalogued.recommend(user, model, k=600, filter="explicit").tracks
        explicit = {card.track_id for card in catalogued.tracks.search(
            TrackQuery(limit=600, filter="explicit")
        )}  # fmt: skip
        assert list(filtered) == [track for track in whole if track in explicit]

    @everyone
    def test_a_boost_brings_its_tracks_to_the_front(
        self, catalogued: Catalogued, user: str, model: int
    ) -> None:
        plain = catalogued.recommend(user, model)
        boosts = ((f'id in ("{plain.tracks[9]}", "{plain.tracks[4]}")', 50.0),)
        boosted = catalogued.recommend(user, model, boosts=boosts, explain=True)
        assert boosted.tracks[:2] == (plain.tracks[4], plain.tracks[9])
        others = [track for track in plain.tracks if track not in boosted.tracks[:2]]
        assert list(boosted.tracks[2:]) == others
        diverse = catalogued.recommend(user, model, boosts=boosts, diversity=0.1)
        assert plain.tracks[4] in diverse.tracks

    @pytest.mark.parametrize(
        ("asked", "field"),
        [
            ({"filter": "year >"}, "filter"),
            ({"boosts": (("explicit", 2.0), ("nothing == 1", 2.0))}, "boosts[1].where"),
        ],
    )
    def test_what_cannot_be_read_is_refused_naming_the_field(
        self, catalogued: Catalogued, asked: dict[str, object], field: str
    ) -> None:
        with pytest.raises(InvalidFilter) as caught:
            catalogued.recommend(**asked)
        assert caught.value.field == field

    @everyone
    def test_a_track_that_is_withdrawn_is_in_no_list(
        self, catalogued: Catalogued, user: str, model: int
    ) -> None:
        before = catalogued.recommend(user, model).tracks
        withdrawn = {before[0], before[3], "of another catalogue"}
        for track_id in withdrawn:
            catalogued.withdrawn.set_available(track_id, available=False)
        after = catalogued.recommend(user, model).tracks
        assert len(after) == 20
        assert list(after[:18]) == [it for it in before if it not in withdrawn]
        assert not withdrawn & set(catalogued.recommend(user, model, exploration=1.0, k=100).tracks)

    @everyone
    def test_an_explained_list_has_cards_and_reasons_in_words(
        self, catalogued: Catalogued, user: str, model: int
    ) -> None:
        plain, answer = (catalogued.recommend(user, model, explain=it) for it in (False, True))
        assert (plain.cards, plain.reasons, plain.texts) == (None, None, None)
        assert answer.tracks == plain.tracks
        assert answer.cards is not None
        assert answer.reasons is not None
        assert answer.texts is not None
        assert tuple(card.track_id for card in answer.cards) == answer.tracks
        assert [text is None for text in answer.texts] == [it is None for it in answer.reasons]
        assert any(answer.texts)

    def test_reasons_can_be_had_for_a_list_that_was_made_before(
        self, catalogued: Catalogued
    ) -> None:
        made = catalogued.recommend(explain=True)
        again = catalogued.recommender.explain(Query("player", 3), [*made.tracks[::-1], "unknown"])
        assert again.tracks == made.tracks[::-1]
        assert again.scores == pytest.approx(made.scores[::-1])
        assert made.texts is not None
        assert again.texts == made.texts[::-1]
        with pytest.raises(UnknownUser):
            catalogued.recommender.explain(Query("nobody", 3), made.tracks)


class TestSimilar:
    def similar(self, catalogued: Catalogued, **asked: object) -> tuple[TrackCard, ...]:
        track = catalogued.world.tracks(17, 18)[0]
        answer = catalogued.recommender.similar(
            replace(SimilarQuery(track, 20, explain=True), **asked)
        )
        assert answer.cards is not None
        assert tuple(card.track_id for card in answer.cards) == answer.tracks
        assert list(answer.scores) == sorted(answer.scores, reverse=True)
        return answer.cards

    def test_a_filter_holds_for_every_track_and_none_is_withdrawn(
        self, catalogued: Catalogued
    ) -> None:
        nearest = self.similar(catalogued)[0].track_id
        catalogued.withdrawn.set_available(nearest, available=False)
        cards = self.similar(catalogued, filter="year >= 2010")
        assert len(cards) == 20
        assert all(card.year is not None and card.year >= 2010 for card in cards)
        assert nearest not in [card.track_id for card in self.similar(catalogued)]

    def test_the_reason_is_the_artist_else_a_genre_else_the_sound(
        self, catalogued: Catalogued
    ) -> None:
        track = catalogued.world.tracks(17, 18)[0]
        itself = catalogued.tracks.track(track).card
        answer = catalogued.recommender.similar(SimilarQuery(track, 599, explain=True))
        assert answer.cards is not None
        assert answer.reasons is not None
        assert answer.texts is not None
        for card, reason, text in zip(answer.cards, answer.reasons, answer.texts, strict=True):
            if card.artist_id == itself.artist_id:
                assert (reason.kind, text) == ("artist", f"also by {card.artist}")
            elif shared := set(card.genres) & set(itself.genres):
                assert reason.kind == "genre"
                assert reason.genre in shared
                assert text == f"also {reason.genre}"
            else:
                assert (reason.kind, text) == ("sound", "sounds alike")
        assert {reason.kind for reason in answer.reasons} == {"artist", "genre", "sound"}
