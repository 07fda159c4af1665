"""Reading an answer with names in any spelling and arbitrary values in its fields."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_migration.exceptions import MigrationResponseError
from airflow_provider_migration.sansio import Request, Response
from airflow_provider_migration.services.wire import (
    UNREADABLE_LAG,
    Count,
    Lag,
    Number,
    Percentage,
    WireModel,
    json_object,
)

REQUEST = Request(
    service="x",
    action="Ask",
    method="GET",
    url="https://x/",
    read=lambda *_: None,
    signer=None,  # type: ignore[arg-type] # nothing is sent
)


class Item(WireModel):
    item_name: str | None = None
    row_count: Count | None = None


class Answer(WireModel):
    text: str | None = None
    is_on: bool | None = None
    done_percent: Percentage | None = None
    lag: Number | None = None
    item: Item | None = None
    first_item: Item = Item()
    items: list[Item] | None = None


values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=4),
        st.sampled_from(["7", "7%"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["ItemName", "item_name", "ROWCOUNT", "other"]), inner, max_size=3),
    ),
    max_leaves=6,
)
names = st.sampled_from(["Text", "isOn", "IS_ON", "DonePercent", "lag", "Item", "FirstItem", "Items", "else"])


@given(st.dictionaries(names, values))
def test_field_is_read_independently(data: dict[str, Any]) -> None:
    whole = Answer.read(data)
    for name in Answer.model_fields:
        alone = {
            key: value for key, value in data.items() if key.replace("_", "").lower() == name.replace("_", "")
        }
        assert getattr(Answer.read(alone), name) == getattr(whole, name)


@given(values)
def test_invalid_value_leaves_the_other_fields(odd: Any) -> None:
    fine = {"text": "a", "is_on": "true", "done_percent": " 7% ", "lag": "3", "item": {"ItemName": 5}}
    for name in fine:
        answer = Answer.read({**fine, name: odd})
        for other in fine.keys() - {name}:
            assert getattr(answer, other) == getattr(Answer.read(fine), other)


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ([{"ItemName": "a", "RowCount": True}, {"ROW_COUNT": "2"}], [Item(item_name="a"), Item(row_count=2)]),
        ([{"RowCount": "x"}, "no item", {"RowCount": []}], None),
        ({"ItemName": "a"}, None),
        ([], []),
    ],
)
def test_invalid_items_of_a_list(value: Any, read: Any) -> None:
    assert Answer.read({"items": value}).items == read


@pytest.mark.parametrize("value", [True, False, "true", "nan", "inf", float("nan"), 10**400, [], {}, ""])
def test_invalid_number_is_absent(value: Any) -> None:
    assert Answer.read({"lag": value, "DonePercent": value}) == Answer()


def test_field_name_cache_survives_many_names() -> None:
    for number in range(5000):
        Answer.read({f"name{number}": 1, "Text": "found"})
    answer = Answer.read({"T_E_X_T": "found"})
    assert answer.text == "found"


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": 1}',
        '{"a": 1}'.encode("utf-16"),
        '\ufeff{"a": 1}'.encode(),
        b'{"b": "\\ud800", "a": 1}',
        b'{"a": 2, "a": 1}',
    ],
)
def test_json_encodings(body: bytes) -> None:
    assert json_object(REQUEST, Response(200, {}, body))["a"] == 1


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'"a"', json.dumps([{}]).encode()]
)
def test_json_must_be_an_object(body: bytes) -> None:
    with pytest.raises(MigrationResponseError, match="not a JSON object"):
        json_object(REQUEST, Response(200, {}, body))


class Increment(WireModel):
    delay: Lag | None = None


@pytest.mark.parametrize(
    ("written", "read"),
    [
        *((value, value) for value in (0, 0.5, 60, -1)),
        *((value, float(value)) for value in ("0", " 60 ", "1e2", "-1")),
        (None, None),
        ("", None),
        *(
            (odd, UNREADABLE_LAG)
            for odd in ("soon", "1,5", "nan", "-inf", 1e999, 10**400, True, False, [], {})
        ),
    ],
)
def test_unreadable_lag_is_negative_and_not_absent(written: Any, read: float | None) -> None:
    assert Increment.read({"Delay": written}).delay == read
