"""Lists of migrations: what is selected, and how far a list is read."""

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
    ) -> MigrationFilter:
        """
        Validate the arguments of a list.

        :param words: the words of the service for a status.
        :raises MigrationConfigurationError: for a wrong type, an empty text and an unknown status.
        """
        for argument, text in (("name", name), ("group", group)):
            if text is not None and not (isinstance(text, str) and text.strip()):
                raise MigrationConfigurationError(f"{argument} must be a text or None, not {text!r}.")
        given = [status] if isinstance(status, str) else status or ()
        if not isinstance(given, (list, tuple, set, frozenset)):
            raise MigrationConfigurationError(f"status must be a word or a list of words, not {given!r}.")
        known = {word.lower() for word in words} | {state.value for state in MigrationState}
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
        Tell whether a migration is selected.

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

    A migration that is listed twice counts once. A list that has changed while it was read, so that rows may
    be missing, is an error: nobody may take the rest for all.

    :param selection: the selected migrations.
    :param parts: the parts, each with pages of its own.
    """

    def __init__(self, selection: MigrationFilter, parts: Sequence[str] = ("",)) -> None:
        self.selection = selection
        self._parts = list(parts)
        self._seen: set[str] = set()
        self._start_part()

    def _start_part(self) -> None:
        self.page: int = 1
        self.received: int = 0
        self._unique = 0
        self._total = 0

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
    ) -> list[MigrationSummary]:
        """
        Return the selected new migrations of a page, and go on to the next page or part.

        :param rows: the migrations of the page that have an id, with their tags as in
            :meth:`MigrationFilter.selects`.
        :param received: number of rows of the page, with those that cannot be read.
        :param total: number of rows of all pages by the service's count; None if it does not count.
        :raises MigrationResponseError: if the list does not end, or rows are missing at its end.
        """
        new = {row.migration_id: (row, tags) for row, tags in rows if row.migration_id not in self._seen}
        self._seen.update(new)
        self._unique += len(new)
        self.received += received
        self.page += 1
        self._total = max(self._total, total or 0)
        if not new or (total is not None and self.received >= total):
            # A row that leaves an earlier page moves another over the edge of a page, and lowers the total.
            if self._unique < self._total:
                raise MigrationResponseError(
                    f"The list of migrations is incomplete: {self._unique} of {self._total} can be read. It "
                    "may have changed in the meantime: list again."
                )
            self._parts.pop(0)
            self._start_part()
        elif self.page > MAX_PAGES:
            raise MigrationResponseError(f"The list of migrations does not end after {MAX_PAGES} pages.")
        return [row for row, tags in new.values() if self.selection.selects(row, tags)]
