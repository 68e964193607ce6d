"""Users in DynamoDB, and how batches are written."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from segue.adapters.aws import items_of, translated, where_condition_holds
from segue.domain.errors import LaterFormat, StoreUnavailable
from segue.domain.users import User, attributes_from_json, attributes_to_json
from segue.ports import Profile, StoredList

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# The index of the users by their ids.
IDS = "ids"
# DynamoDB takes no more items in one batch.
MAX_BATCH = 25
_BATCH_TRIES = 8


class DynamoUserStore:
    """Profiles, one item a user."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def get(self, user_id: str) -> User | None:
        """One GetItem. Raises StoreUnavailable."""
        with translated("Users"):
            answer = self._client.get_item(TableName=self._table, Key={"user_id": {"S": user_id}})
        return _user(answer["Item"]) if "Item" in answer else None

    def put(self, user: User) -> None:
        """One UpdateItem: what an import noted in the item stays. Raises StoreUnavailable."""
        self._update(user_item(user), () if user.attributes else ("attributes",))

    def amend(self, user: User) -> User:
        """One UpdateItem, too. Raises StoreUnavailable."""
        return _user(self._update(user_item(replace(user, attributes={})), ()))

    def _update(self, item: dict[str, Any], removed: Sequence[str]) -> Any:
        """Set what is in the item, and remove something; the whole item as it is then."""
        # An import that comes later leaves a profile alone that was edited.
        item |= {"edited": {"BOOL": True}}
        key = {"user_id": item.pop("user_id")}
        # The mark stays for as long as the profile is there. "attributes" is a word that DynamoDB
        # keeps for itself: hence the number signs.
        change = "SET mark = if_not_exists(mark, :mark), "
        change += ", ".join(f"#{name} = :{name}" for name in item)
        change += "".join(f" REMOVE #{name}" for name in removed)
        with translated("Users"):
            answer = self._client.update_item(
                TableName=self._table,
                Key=key,
                UpdateExpression=change,
                ExpressionAttributeNames={f"#{name}": name for name in (*removed, *item)},
                ExpressionAttributeValues={
                    ":mark": {"S": uuid4().hex},
                    **{f":{name}": value for name, value in item.items()},
                },
                ReturnValues="ALL_NEW",
            )
        return answer["Attributes"]

    def delete(self, user_id: str) -> None:
        """One DeleteItem. Raises StoreUnavailable."""
        with translated("Users"):
            self._client.delete_item(TableName=self._table, Key={"user_id": {"S": user_id}})

    def stored_list(self, user_id: str, model_id: int) -> StoredList | None:
        """One GetItem. Raises StoreUnavailable."""
        with translated("Users"):
            answer = self._client.get_item(
                TableName=self._table,
                Key={"user_id": {"S": user_id}},
                ProjectionExpression=(name := _list_name(model_id)),
            )
        found: Any = answer.get("Item", {}).get(name, {}).get("M")
        if found is None:
            return None
        tracks = tuple(track["S"] for track in found["tracks"]["L"])
        return StoredList(tracks, found["bundle"]["S"], int(found["as_of"]["N"]))

    def store_list(self, profile: Profile, model_id: int, made: StoredList) -> None:
        """One UpdateItem, in the item of the profile: so it goes with that. Raises
        StoreUnavailable."""
        name = _list_name(model_id)
        marked = "attribute_not_exists(mark)" if profile.mark is None else "mark = :mark"
        item: Any = {
            "tracks": {"L": [{"S": track} for track in made.tracks]},
            "bundle": {"S": made.bundle},
            "as_of": {"N": str(made.as_of)},
        }
        with translated("Users"), where_condition_holds():
            self._client.update_item(
                TableName=self._table,
                Key={"user_id": {"S": profile.user.user_id}},
                UpdateExpression=f"SET {name} = :made",
                ConditionExpression=f"attribute_exists(user_id) AND {marked} AND "
                f"(attribute_not_exists({name}) OR {name}.as_of <= :as_of)",
                ExpressionAttributeValues={
                    ":made": {"M": item},
                    ":as_of": item["as_of"],
                    **({":mark": {"S": profile.mark}} if profile.mark else {}),
                },
            )

    def search(self, prefix: str, limit: int) -> list[User]:
        """One Query of the index; one Scan without a prefix. Raises StoreUnavailable."""
        with translated("Users"):
            if not prefix:
                items = self._client.scan(TableName=self._table, Limit=limit)["Items"]
                return sorted(map(_user, items), key=lambda user: user.user_id)
            answer = self._client.query(
                TableName=self._table,
                IndexName=IDS,
                KeyConditionExpression="initial = :initial AND begins_with(user_id, :prefix)",
                ExpressionAttributeValues={
                    ":initial": {"S": prefix[0]},
                    ":prefix": {"S": prefix},
                },
                Limit=limit,
            )
        return [_user(item) for item in answer["Items"]]

    def part(self, number: int, of: int) -> Iterator[Profile]:
        """One Scan a megabyte of a segment of the table. Raises StoreUnavailable."""
        segment = {"TableName": self._table, "Segment": number, "TotalSegments": of}
        for item in items_of("Users", self._client.scan, **segment):
            yield Profile(_user(item), item.get("mark", {}).get("S"))


def write_batch(client: "DynamoDBClient", table: str, batch: list[Any]) -> None:
    """Write up to MAX_BATCH items; what a throttled table leaves over is sent again, with pauses.

    Raises StoreUnavailable.
    """
    for attempt in range(_BATCH_TRIES):
        with translated(table):
            answer = client.batch_write_item(RequestItems={table: batch})
        batch = answer.get("UnprocessedItems", {}).get(table, [])
        if not batch:
            return
        time.sleep(0.05 * 2**attempt)
    raise StoreUnavailable(f"{table}: {len(batch)} items still refused after throttling")


def _list_name(model_id: int) -> str:
    return f"list_{model_id}"


def user_item(user: User) -> dict[str, Any]:
    """A profile as a DynamoDB item."""
    item: dict[str, Any] = {
        "user_id": {"S": user.user_id},
        "initial": {"S": user.user_id[0]},
        "favourite_genres": {"L": [{"S": genre} for genre in user.favourite_genres]},
        "premium": {"BOOL": user.premium},
    }
    # As JSON: DynamoDB's own numbers are decimals, and would not come back as they went.
    attributes = attributes_to_json(user.attributes)
    return item | ({"attributes": {"S": attributes}} if attributes else {})


def _user(item: Any) -> User:
    """The profile in a DynamoDB item; one without a format is of format 1. Raises LaterFormat."""
    if "format" in item:
        raise LaterFormat.of("Users: an item", item["format"]["N"])
    genres = tuple(genre["S"] for genre in item["favourite_genres"]["L"])
    attributes = attributes_from_json(item.get("attributes", {}).get("S"))
    return User(item["user_id"]["S"], genres, item["premium"]["BOOL"], attributes)
