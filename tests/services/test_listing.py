"""Lists of migrations: what is selected, and that no row is missing without an error."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_migration.exceptions import MigrationConfigurationError, MigrationResponseError
from airflow_provider_migration.progress import MigrationState, MigrationSummary
from airflow_provider_migration.services.listing import MAX_PAGES, MigrationFilter, MigrationListing

ANY = MigrationFilter()


def row(number: Any, **fields: Any) -> MigrationSummary:
    given = {"name": f"orders-{number}", "state": "running", "service_status": "RUNNING", **fields}
    return MigrationSummary(service="oms", migration_id=str(number), **given)


def take(
    listing: MigrationListing, *numbers: int, total: int | None, received: int | None = None
) -> list[str]:
    rows = [(row(number), None) for number in numbers]
    taken = listing.take(rows, received=len(rows) if received is None else received, total=total)
    return [each.migration_id for each in taken]


# --- the filter -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filtered", "is_selected"),
    [
        ({}, True),
        ({"name": "DERS-7"}, True),
        ({"name": "orders-8"}, False),
        ({"status": "running"}, True),
        ({"status": ["failed", " Running "]}, True),
        ({"status": "failed"}, False),
        ({"tags": {"wave": "3"}}, True),
        ({"tags": {"wave": "4"}}, False),
        ({"tags": {"wave": "3", "team": "a"}}, False),
        ({"tags": {}}, True),
    ],
)
def test_filter_selects_by_each_criterion(filtered: dict[str, Any], is_selected: bool) -> None:
    given = {"name": None, "status": None, "tags": None, "group": None, **filtered}
    selection = MigrationFilter.of(**given, words=["RUNNING", "FAILED"])
    assert selection.selects(row(7), {"wave": "3"}) is is_selected


@pytest.mark.parametrize(
    ("filtered", "said"),
    [
        ({"name": ""}, "name must be a text"),
        ({"name": 5}, "name must be a text"),
        ({"group": " "}, "group must be a text"),
        ({"status": 5}, "status must be a word"),
        ({"status": "runing"}, "did you mean 'running'"),
        ({"status": "caught_up"}, "status 'caught_up' is not known"),
        ({"tags": ["wave"]}, "tags must be a mapping"),
        ({"tags": {"wave": 3}}, "tags must be a mapping"),
    ],
)
def test_filter_refuses_wrong_arguments(filtered: dict[str, Any], said: str) -> None:
    given = {"name": None, "status": None, "tags": None, "group": None, **filtered}
    with pytest.raises(MigrationConfigurationError, match=said):
        MigrationFilter.of(**given, words=["RUNNING"], states=[MigrationState.RUNNING])


# --- paging ---------------------------------------------------------------------------------------------


def test_listing_goes_through_the_pages_of_its_parts() -> None:
    listing = MigrationListing(ANY, ("MIGRATION", "SYNC"))
    places, found = [], []
    for numbers, total in (((1, 2), 3), ((3,), 3), ((4,), 1)):
        places.append((listing.part, listing.page))
        found += take(listing, *numbers, total=total)
    assert places == [("MIGRATION", 1), ("MIGRATION", 2), ("SYNC", 1)]
    assert found == ["1", "2", "3", "4"]
    assert listing.at_end


def test_listing_that_is_empty_ends() -> None:
    listing = MigrationListing(ANY)
    assert take(listing, total=0) == []
    assert listing.at_end


@pytest.mark.parametrize("total", [None, 1, 2])
def test_listing_without_a_usable_count_ends_with_an_empty_page(total: int | None) -> None:
    """A count that is smaller than the rows may be one of pages."""
    listing = MigrationListing(ANY)
    found = take(listing, 1, 2, 3, total=total) + take(listing, 4, 5, 6, total=total)
    assert not listing.at_end
    assert take(listing, total=0 if total else None) == []
    assert (found, listing.at_end) == ([*"123456"], True)


def test_listing_counts_a_migration_of_two_parts_once() -> None:
    listing = MigrationListing(ANY, ("MIGRATION", "SYNC"))
    assert take(listing, 1, 2, total=2) == ["1", "2"]
    assert take(listing, 1, 2, total=2) == []
    assert listing.at_end


@pytest.mark.parametrize(
    ("pages", "said"),
    [
        ([((), 1, 0)], "0 of 1 can be read"),
        ([((1,), 3, 1), ((), 3, 0)], "1 of 3 can be read"),
        ([((1,), 2, 2)], "1 of 2 can be read"),  # a row without an id
        ([((1, 1), 2, 2)], "1 of 2 can be read"),
        ([((1, 2), 4, 2), ((1, 2), 4, 2)], "2 of 4 can be read"),
        ([((1, 2), 3, 2), ((2,), 3, 1)], "2 of 3 can be read"),
        ([((1, 2), 1, 2), ((1, 2), 1, 2)], "a page repeats"),
        ([((1, 2), None, 2), ((1, 2), None, 2)], "a page repeats"),
        ([((), None, 2)], "a page repeats"),
        ([((1, 2), 4, 2), ((4,), 3, 1)], "has changed while it was read, from 4 to 3"),
        ([((1, 2), 3, 2), ((2, 3), 4, 2)], "3 of 4 can be read"),
        ([((1, 2), 4, 2), ((), 0, 0)], "2 of 4 can be read"),
        ([((1, 2), None, 2), ((), 5, 0)], "2 of 5 can be read"),
    ],
)
def test_listing_with_missing_rows_is_an_error(pages: list[Any], said: str) -> None:
    listing = MigrationListing(ANY)
    *before, (numbers, total, received) = pages
    for earlier, count, number in before:
        take(listing, *earlier, total=count, received=number)
    assert not listing.at_end
    with pytest.raises(MigrationResponseError, match=said):
        take(listing, *numbers, total=total, received=received)


def test_listing_is_bounded() -> None:
    listing = MigrationListing(ANY)
    for number in range(MAX_PAGES - 1):
        take(listing, number, total=None)
    with pytest.raises(MigrationResponseError, match="does not end after 1000 pages"):
        take(listing, MAX_PAGES, total=None)


@given(
    size=st.integers(1, 4),
    rows=st.integers(0, 12),
    changes=st.lists(st.lists(st.integers(-1, 14), max_size=3), max_size=8),
)
def test_listing_never_misses_a_row_without_an_error(size: int, rows: int, changes: list[list[int]]) -> None:
    """The newest is the first; between two pages rows are deleted (their number) and created (-1)."""
    server = list(range(rows))[::-1]
    stays, created = set(server), rows
    listing, found, between = MigrationListing(ANY), set(), iter(changes)
    try:
        while not listing.at_end:
            begin = (listing.page - 1) * size
            page = server[begin : begin + size]
            found.update(map(int, take(listing, *page, total=len(server))))
            if listing.at_end:
                break
            for change in next(between, ()):
                if change < 0:
                    server.insert(0, created)
                    created += 1
                elif change in server:
                    server.remove(change)
                    stays.discard(change)
    except MigrationResponseError:
        return
    assert stays <= found
