"""Lists of migrations: selection and paging."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final

from airflow_provider_migration.exceptions import MigrationConfigurationError, MigrationResponseError
from airflow_provider_migration.progress import MigrationState, MigrationSummary

MAX_PAGES: Final = 1000
"""Maximum pages of one list; a list that does not end is an error."""


@dataclass(frozen=True, slots=True)
class MigrationFilter:
    """
    Selects migrations of a list. A service may filter too, but never decides: each row is checked here.

    :param name: part of the name; case-insensitive. None for any.
    :param statuses: normalised states and words of the service, in lower case; empty for any.
    :param tags: the tags that a migration must have, with their values.
    :param group: the service's own group of resources, filtered by the service; None for all.
    """

    name: str | None = None
    statuses: frozenset[str] = frozenset()
    tags: Mapping[str, str] = field(default_factory=dict)
    group: str | None = None

    @classmethod
    def of(
        cls,
        name: str | None,
        status: str | Sequence[str] | None,
        tags: Mapping[str, str] | None,
        group: str | None,
        *,
        words: Collection[str],
        states: Collection[MigrationState] = tuple(MigrationState),
    ) -> MigrationFilter:
        """
        Validate the arguments of a list.

        :param words: the words of the service for a status.
        :param states: the states that rows of the list can have. Any other is refused, because an empty list
            would look like an answer.
        :raises MigrationConfigurationError: for a wrong type, an empty text and an unknown status.
        """
        for argument, text in (("name", name), ("group", group)):
            if text is not None and not (isinstance(text, str) and text.strip()):
                raise MigrationConfigurationError(f"{argument} must be a text or None, not {text!r}.")
        given = [status] if isinstance(status, str) else status or ()
        if not isinstance(given, (list, tuple, set, frozenset)):
            raise MigrationConfigurationError(f"status must be a word or a list of words, not {given!r}.")
        known = {word.lower() for word in words} | {state.value for state in states}
        statuses = [str(word).strip().lower() for word in given]
        for word in statuses:
            if word not in known:
                near = get_close_matches(word, known, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else "."
                possible = ", ".join(sorted(known))
                raise MigrationConfigurationError(
                    f"status {word!r} is not known to this service{hint} Possible: {possible}."
                )
        if tags is not None and not (
            isinstance(tags, Mapping)
            and all(isinstance(key, str) and key for key in tags)
            and all(isinstance(value, str) for value in tags.values())
        ):
            raise MigrationConfigurationError(
                f"tags must be a mapping of texts, such as {{'wave': '3'}}, not {tags!r}."
            )
        return cls(name, frozenset(statuses), dict(tags or {}), group)

    def selects(self, summary: MigrationSummary, tags: Mapping[str, str] | None = None) -> bool:
        """
        Return True if a migration is selected.

        :param tags: its tags; None if the list does not show them, because the service has filtered by them.
        """
        if self.name is not None and self.name.casefold() not in (summary.name or "").casefold():
            return False
        word = (summary.service_status or "").strip().lower()
        if self.statuses and not self.statuses & {word, summary.state.value}:
            return False
        return tags is None or all(tags.get(key) == value for key, value in self.tags.items())


class MigrationListing:
    """
    Paging state of a list of migrations, which may have several parts, such as one for each kind of job.

    A migration that is listed twice counts once. A list that has changed while it was read is an error,
    because rows may be missing: a partial list must never pass for a complete one.

    :param selection: the selected migrations.
    :param parts: the parts, each with pages of its own.
    :param scope: the workspace or the like that the list belongs to; empty for the whole account.
    """

    def __init__(self, selection: MigrationFilter, parts: Sequence[str] = ("",), *, scope: str = "") -> None:
        self.selection = selection
        self.scope = scope
        self._parts = list(parts)
        self._seen: set[str] = set()
        self._start_part()

    def _start_part(self) -> None:
        self.page: int = 1
        self.received: int = 0
        self._total: int | None = None
        self._ids_of_part: set[str] = set()

    @property
    def at_end(self) -> bool:
        """True if nothing is left to request."""
        return not self._parts

    @property
    def part(self) -> str:
        """The part that the next page belongs to."""
        return self._parts[0]

    def take(
        self,
        rows: Iterable[tuple[MigrationSummary, Mapping[str, str] | None]],
        *,
        received: int,
        total: int | None,
        may_continue: bool = False,
    ) -> list[MigrationSummary]:
        """
        Return the selected new migrations of a page, and go on to the next page or part.

        :param rows: the migrations of the page that have an id, with their tags as in
            :meth:`MigrationFilter.selects`.
        :param received: number of rows of the page, with those that cannot be read.
        :param total: number of rows of all pages by the service's count; None if it does not count.
        :param may_continue: request a next page even if the count is reached.
        :raises MigrationResponseError: if the list does not end, if its count falls while it is read, or if
            rows are missing at its end.
        """
        page = {row.migration_id: (row, tags) for row, tags in rows}
        is_new = not self._ids_of_part.issuperset(page)
        new = {name: row for name, row in page.items() if name not in self._seen}
        self._ids_of_part.update(page)
        self._seen.update(new)
        self.received += received
        self.page += 1
        if received and total is not None:
            # After a deletion the next page begins one row later than the last one ended. An addition only
            # repeats a row, or misses one at the end, where the count shows it.
            if self._total is not None and total < self._total:
                raise MigrationResponseError(
                    f"The list of migrations has changed while it was read, from {self._total} to {total} "
                    "rows, so that rows may be missing: list again."
                )
            self._total = total
        # A count that is smaller than the rows does not count rows: then an empty page is the end.
        if not is_new or (self.received == self._total and not may_continue):
            readable, expected = len(self._ids_of_part), max(self._total or 0, total or 0)
            is_short = readable < expected
            if is_short or (received and not is_new and readable != self._total):
                found = f"{readable} of {expected} can be read" if is_short else "a page repeats"
                raise MigrationResponseError(
                    f"The list of migrations is incomplete: {found}. It may have changed in the meantime: "
                    "list again."
                )
            self._parts.pop(0)
            self._start_part()
        elif self.page > MAX_PAGES:
            raise MigrationResponseError(f"The list of migrations does not end after {MAX_PAGES} pages.")
        return [row for row, tags in new.values() if self.selection.selects(row, tags)]
