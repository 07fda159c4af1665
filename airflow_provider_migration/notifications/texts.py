"""
The ready texts of alerts, in English and Chinese: title, plain text and markdown.

Pure: the same alert, record and wait give the same texts. Each fact that is not known is left out.

Names, errors and status words come from a service or a user, so no text trusts them. In all texts ``<`` and
``>`` become ``‹`` and ``›``, and ``@`` becomes ``＠``. Every chat shows these look-alikes as they are, and
none takes them for a mention (``<!channel>``, ``<@U1>``, ``@all``), a link or HTML. Entities such as
``&lt;`` would be safe in Slack too, but other chats show them as they stand. ``](`` becomes ``］(``, because
some channels read a title as markdown. Other characters of markdown are escaped in the markdown alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, TypedDict

from airflow_provider_migration.alerts import (
    FAILED,
    LAG_ABOVE,
    PAUSED,
    POLLS_FAILING,
    REACHED,
    REMAINING_ABOVE,
    STALLED,
    VERIFICATION_FAILED,
    WITH_THRESHOLD,
)
from airflow_provider_migration.get_provider_info import SERVICES
from airflow_provider_migration.progress import (
    MISMATCHES,
    VERIFIED,
    VerificationState,
    clean_link,
    clean_text,
)
from airflow_provider_migration.wait.tracker import allowed_gap

MAX_TITLE: Final = 120
"""Maximum characters of a title: one line, as the subject of an e-mail."""

MAX_TEXT: Final = 2_000
"""Maximum characters of a plain text."""

LANGUAGES: Final = ("en", "zh")
"""English and simplified Chinese, in the order of :data:`PHRASES`."""

PHRASES: Final[Mapping[str, tuple[str, str]]] = {
    # Titles. The migration follows.
    "title": ("{what}: {migration}", "{what}：{migration}"),
    "title.now": ("{what}, now {state}", "{what}（当前{state}）"),
    "title.migration": ("{service} {id}", "{service} {id}"),
    "title.named": ("{name} ({migration})", "{name}（{migration}）"),
    "title.stalled": ("Migration stalled", "迁移停滞"),
    "title.lag_above": ("Lag above {above}", "延迟超过 {above}"),
    "title.remaining_above": ("Time left above {above}", "预计剩余时间超过 {above}"),
    "title.paused": ("Migration paused", "迁移已暂停"),
    "title.polls_failing": ("Polls failing", "状态查询失败"),
    "title.poll_failed": ("Poll failed", "状态查询失败"),
    "title.inconsistent": ("Data check found differences", "数据校验不一致"),
    "title.verification_failed": ("Data check failed", "数据校验失败"),
    "title.reached": ("Target reached ({target})", "已达到目标（{target}）"),
    "title.failed": ("Migration failed", "迁移失败"),
    "title.partially_succeeded": ("Migration only partly succeeded", "迁移仅部分成功"),
    "title.cancelled": ("Migration cancelled", "迁移已取消"),
    "title.timeout": ("Wait timed out", "等待超时"),
    "title.poll_error": ("Wait ended because polls failed", "状态查询失败，等待中止"),
    "title.fail": ("Wait ended without reaching its target", "等待结束，未达到目标"),
    "title.out_of_reach": ("Target cannot be reached any more", "目标已无法达到"),
    "title.moving": ("Moving again", "迁移已恢复进展"),
    "title.not_stalled": ("No longer stalled", "不再停滞"),
    "title.lag_not_above": ("Lag no longer above {above}", "延迟不再超过 {above}"),
    "title.lag_over": ("Alert on the lag is over", "延迟告警结束"),
    "title.remaining_not_above": ("Time left no longer above {above}", "预计剩余时间不再超过 {above}"),
    "title.remaining_over": ("Alert on the time left is over", "剩余时间告警结束"),
    "title.not_paused": ("No longer paused", "不再暂停"),
    "title.answered": ("Polls answered again", "状态查询已恢复"),
    "title.consistent": ("Data check found no differences", "数据校验未发现不一致"),
    "title.lost": ("Target no longer held ({target})", "目标已不再保持（{target}）"),
    "title.not_failed": ("No longer failed", "已不处于失败状态"),
    # First lines.
    "lead.stalled": (
        "The migration has stalled: nothing has moved for {duration}.",
        "迁移停滞：已有 {duration}没有任何进展。",
    ),
    "lead.lag_above": (
        "The lag is {figure}, and the limit is {above}.",
        "当前延迟 {figure}，阈值为 {above}。",
    ),
    "lead.remaining_above": (
        "The copy needs another {figure}, and the limit is {above}.",
        "预计剩余时间 {figure}，阈值为 {above}。",
    ),
    "lead.paused": ("The migration is paused.", "迁移任务已暂停。"),
    "lead.polls_failing": (
        "No poll of the migration has been answered for {duration}. Its present state is not known.",
        "已有 {duration}查询不到迁移状态，当前状态不明。",
    ),
    "lead.poll_failed": (
        "The last poll of the migration failed. Its present state is not known.",
        "最近一次状态查询失败，当前状态不明。",
    ),
    "lead.inconsistent": (
        "The service's data check found differences between source and destination.",
        "服务的数据校验发现源端与目标端的数据不一致。",
    ),
    "lead.verification_failed": (
        "The service's data check ended without comparing everything.",
        "服务的数据校验未能完成全部比对。",
    ),
    "lead.reached": ("The target is reached: {wanted}.", "已达到目标：{wanted}。"),
    "lead.failed": ("The migration has failed.", "迁移任务失败。"),
    "lead.partially_succeeded": (
        "The migration has ended, and only part of it succeeded.",
        "迁移任务已结束，但只有一部分成功。",
    ),
    "lead.cancelled": ("The migration was cancelled.", "迁移任务已取消。"),
    "lead.timeout": (
        "The wait for the target ({wanted}) timed out without reaching it.",
        "等待超时，未达到目标（{wanted}）。",
    ),
    "lead.poll_error": (
        "The wait for the target ({wanted}) ended without reaching it, because polls failed.",
        "因状态查询失败，等待中止，未达到目标（{wanted}）。",
    ),
    "lead.fail": (
        "The wait for the target ({wanted}) ended without reaching it.",
        "等待结束，未达到目标（{wanted}）。",
    ),
    "lead.out_of_reach": (
        "The target ({wanted}) cannot be reached any more in this state of the migration.",
        "在迁移的当前状态下，目标（{wanted}）已无法达到。",
    ),
    "lead.moving": ("The migration is moving again.", "迁移已恢复进展。"),
    "lead.not_stalled": ("The migration is no longer stalled.", "迁移不再处于停滞状态。"),
    "lead.lag_not_above": ("The lag is no longer above {above}.", "延迟不再超过 {above}。"),
    "lead.lag_over": (
        "The alert on a lag above {above} is over, because the migration has ended.",
        "迁移已结束，因此“延迟超过 {above}”的告警结束。",
    ),
    "lead.remaining_not_above": (
        "The time left of the copy is no longer above {above}.",
        "预计剩余时间不再超过 {above}。",
    ),
    "lead.remaining_over": (
        "The alert on a time left above {above} is over, because the migration has ended.",
        "迁移已结束，因此“预计剩余时间超过 {above}”的告警结束。",
    ),
    "lead.not_paused": ("The migration is no longer paused.", "迁移任务不再处于暂停状态。"),
    "lead.answered": ("Polls of the migration are answered again.", "已恢复对迁移状态的查询。"),
    "lead.consistent": (
        "The service's data check finds no differences now.",
        "服务的数据校验现在未发现不一致。",
    ),
    "lead.lost": (
        "The target ({wanted}) is no longer held. Do not rely on the earlier message.",
        "目标（{wanted}）已不再保持。请勿再以之前的消息为依据。",
    ),
    "lead.not_failed": (
        "The migration is no longer in a failed state.",
        "迁移任务已不处于失败状态。",
    ),
    # Advice, where the service gives none.
    "advice.stalled": (
        "Look in the console for errors, and in both databases for locks, long transactions and full disks.",
        "请在控制台查看报错，并检查源库和目标库是否存在锁等待、长事务或磁盘写满。",
    ),
    "advice.lag_above": (
        "Do not cut over now. Check the writes on the source and the load of the destination.",
        "当前不要割接。请检查源库的写入量和目标库的负载。",
    ),
    "advice.remaining_above": (
        "Check whether the copy still ends before the cut-over, and the load of both databases.",
        "请确认全量迁移能否在割接前完成，并检查源库和目标库的负载。",
    ),
    "advice.paused": (
        "If the pause is not intended, resume the migration in the console.",
        "如非计划内暂停，请在控制台恢复迁移任务。",
    ),
    "advice.polls_failing": (
        "Check the connection in Airflow, its key and permissions, and the network.",
        "请检查 Airflow 连接、密钥与权限以及网络。",
    ),
    "advice.poll_failed": (
        "If the next polls fail too, check the connection in Airflow and the network.",
        "如果后续查询仍然失败，请检查 Airflow 连接和网络。",
    ),
    "advice.inconsistent": (
        "Do not cut over. Repair the tables that differ, then run the data check again.",
        "请勿割接。修复不一致的表之后，重新执行数据校验。",
    ),
    "advice.verification_failed": (
        "Do not cut over. Look up the cause in the console, then run the data check again.",
        "请勿割接。请在控制台查明原因，然后重新执行数据校验。",
    ),
    "advice.failed": (
        "Look up the cause in the console. Restart the migration there once the cause is removed.",
        "请在控制台查明原因，排除后重新启动迁移任务。",
    ),
    "advice.partially_succeeded": (
        "Look up in the console which part failed, and why.",
        "请在控制台查明哪些部分失败及其原因。",
    ),
    "advice.cancelled": (
        "If this is not intended, find out who ended the migration: it may have to begin again.",
        "如非计划内操作，请确认由谁结束了迁移任务；迁移可能需要重新开始。",
    ),
    "advice.timeout": (
        "If the migration is healthy, clear the task to wait again, with a longer timeout.",
        "如果迁移本身正常，请延长 timeout 并清除该任务，以便继续等待。",
    ),
    "advice.lost": (
        "Do not cut over now. Look in the console for what has changed.",
        "当前不要割接。请在控制台确认迁移发生了什么变化。",
    ),
    # Labels.
    "label": ("{label}: {value}", "{label}：{value}"),
    "label.markdown": ("**{label}**: {value}", "**{label}**：{value}"),
    "name": ("Migration", "迁移任务"),
    "service": ("Service", "服务"),
    "id": ("ID", "任务 ID"),
    "state": ("State", "状态"),
    "last_state": ("Last known state", "最后已知状态"),
    "since": ("Since", "起始于"),
    "at": ("At", "时间"),
    "lasted": ("Lasted", "持续时间"),
    "percent": ("Progress", "迁移进度"),
    "lag": ("Lag", "延迟"),
    "remaining": ("Time left", "预计剩余时间"),
    "verification": ("Data check", "数据校验"),
    "error": ("Error", "错误信息"),
    "retrying": ("The service is retrying", "服务正在重试"),
    "reason": ("Reason", "原因"),
    "poll_error": ("Error of the last poll", "最近一次查询的错误"),
    "warning": ("Warning", "警告"),
    "remedy": ("What to do", "处理建议"),
    "wanted": ("Wanted", "等待目标"),
    "task": ("Airflow task", "Airflow 任务"),
    "tab": ("Airflow", "Airflow"),
    "console": ("Console", "控制台"),
    "help": ("Help on the error", "错误帮助"),
    # Values.
    "with_status": ("{state} ({status})", "{state}（{status}）"),
    "as_of": ("{state}, at {time}", "{state}，查询时间 {time}"),
    "for": ("{time}, {duration} so far", "{time}（已持续 {duration}）"),
    "span": ("{duration}, from {since} to {at}", "{duration}（{since} 至 {at}）"),
    "estimated": ("{duration} (estimate)", "{duration}（估算值）"),
    "percent.value": ("{percent:g} %", "{percent:g}%"),
    "coded": ("{code}: {message}", "{code}: {message}"),
    "or": (" or ", "或"),
    "and": (", ", "、"),
    "applied": (
        "{target}, with everything until {time} applied",
        "{target}，且 {time} 之前的变更均已应用",
    ),
    "check.inconsistent": ("differences", "不一致"),
    "check.inconsistent.count": ("differences in {tables}", "{tables}不一致"),
    "check.inconsistent.of": ("differences in {count} of {tables}", "{tables}中 {count} 张不一致"),
    "check.failed": ("ended without comparing everything", "未能完成全部比对"),
    "check.failed.count": ("comparison failed for {tables}", "{tables}未能比对"),
    "check.failed.of": ("comparison failed for {count} of {tables}", "{tables}中 {count} 张未能比对"),
    "check.consistent": ("no differences", "未发现不一致"),
    "check.consistent.count": ("no differences in {tables}", "已比对 {tables}，未发现不一致"),
    "check.running": ("running", "进行中"),
    "check.pending": ("not started", "未开始"),
    "check.not_configured": ("not configured", "未配置"),
    "check.unknown": ("result not known", "结果不明"),
    "check.named": ("{check}: {names}", "{check}：{names}"),
    "check.rows": ("{table} ({rows})", "{table}（{rows}）"),
    "check.at": ("{check}; checked at {time}", "{check}；校验时间 {time}"),
    # States and targets. Other targets are the service's own words.
    "is.pending": ("pending", "等待启动"),
    "is.running": ("running", "运行中"),
    "is.caught_up": ("in sync", "已追平"),
    "is.paused": ("paused", "已暂停"),
    "is.succeeded": ("succeeded", "已成功完成"),
    "is.partially_succeeded": ("partially succeeded", "部分成功"),
    "is.failed": ("failed", "失败"),
    "is.cancelled": ("cancelled", "已取消"),
    "is.unknown": ("unknown", "未知"),
    "is.structure_done": ("structure copied", "结构迁移完成"),
    "is.full_done": ("existing data copied", "全量迁移完成"),
    "is.verified": ("in sync and verified", "已追平且数据校验一致"),
    # Numbers of things: one, and any other number.
    "day": ("{count} day", "{count} 天"),
    "days": ("{count} days", "{count} 天"),
    "hour": ("{count} hour", "{count} 小时"),
    "hours": ("{count} hours", "{count} 小时"),
    "minute": ("{count} minute", "{count} 分钟"),
    "minutes": ("{count} minutes", "{count} 分钟"),
    "second": ("{count} second", "{count} 秒"),
    "seconds": ("{count} seconds", "{count} 秒"),
    "table": ("{count} table", "{count} 张表"),
    "tables": ("{count} tables", "{count} 张表"),
    "row": ("{count} row", "{count} 行"),
    "rows": ("{count} rows", "{count} 行"),
    "time": ("{count} time", "{count} 次"),
    "times": ("{count} times", "{count} 次"),
    "moment": ("less than 1 second", "不到 1 秒"),
}
"""Every phrase, in English and in Chinese."""

SERVICES_ZH: Final = {
    "dataworks": "阿里云 DataWorks",
    "dts": "阿里云数据传输服务 DTS",
    "oms": "OceanBase 迁移服务 OMS",
    "drs": "华为云数据复制服务 DRS",
}
"""The services' Chinese names; a service without one has its English name."""

_UNITS: Final = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))

_NAMED: Final = 5
"""Maximum number of tables that a text names."""

_LIMITS: Final = (400, 200, 100, 50, 20)
"""Characters to which names and errors are truncated, until a text is short enough."""

_TITLE_LIMIT: Final = 40
"""The same for a title."""

_LEAST_NAME: Final = 8
"""A title has no shorter beginning of a name."""

_OF_ITS_OWN: Final = ("polls_failing", "poll_failed", "inconsistent", "verification_failed", "lost")
"""Cases that the remedy of a migration's error does not help."""

_COUNTED: Final[Mapping[str, str]] = {
    "inconsistent": "tables_different",
    "failed": "tables_failed",
    "consistent": "tables_compared",
}
"""The count of tables that explains the result of a data check."""

_LOOK_ALIKES: Final = str.maketrans({"<": "‹", ">": "›", "@": "＠"})
_MARKDOWN: Final = re.compile(
    r"""[\\`*\[\]~]                               # code, emphasis, links
    | (?<![A-Za-z0-9])_ | _(?![A-Za-z0-9])        # an underscore inside a word does not emphasize
    | :(?=//) | (?<=\bwww)\.                      # addresses become links by themselves
    | &(?=\#?\w+;)                                # entities""",
    re.VERBOSE,
)


class Text(TypedDict):
    """
    Texts of an alert in one language.

    :ivar title: one line of at most 120 characters.
    :ivar text: plain text of at most 2,000 characters, in lines of label and value.
    :ivar markdown: the same facts in markdown.
    """

    title: str
    text: str
    markdown: str


def texts(
    alert: Mapping[str, Any], record: Mapping[str, Any] | None, wait: Mapping[str, Any], link: str
) -> dict[str, Text]:
    """
    Return the texts of an alert, by language (``en``, ``zh``).

    :param alert: ``when``, ``is_over``, ``since`` and ``at`` in epoch seconds, ``above`` in seconds or None,
        ``reason``, for which the wait ended, or None, and optionally ``task``, the DAG and the task.
    :param record: the last record in plain JSON; None if no poll was answered.
    :param wait: XCom ``migration_wait``.
    :param link: address of the task's Migration tab, or "".
    """
    links = _links(record or {}, link)
    return {
        name: _written(partial(_Writer, language, alert, record or {}, wait), links)
        for language, name in enumerate(LANGUAGES)
    }


def _written(writer_of: Callable[[int], _Writer], links: list[tuple[str, str]]) -> Text:
    """
    Return the texts of an alert in one language.

    :param writer_of: takes the maximum characters of names and errors.
    :param links: phrases and addresses, the most important one first.
    """
    for limit in _LIMITS:
        writer = writer_of(limit)
        text = writer.text(links)
        if len(text) <= MAX_TEXT:
            break
    while links and len(text) > MAX_TEXT:
        links = links[:-1]
        text = writer.text(links)
    return {"title": writer_of(_TITLE_LIMIT).title(), "text": text, "markdown": writer.markdown(links)}


def _links(record: Mapping[str, Any], link: str) -> list[tuple[str, str]]:
    error = record.get("error") or {}
    given = (("tab", link), ("console", record.get("console_url")), ("help", error.get("help_url")))
    return [(phrase, address) for phrase, value in given if (address := clean_link(value))]


@dataclass(frozen=True, slots=True)
class _Writer:
    """
    Writes about one alert in one language.

    :ivar language: index in :data:`LANGUAGES`.
    :ivar record: the last record; empty if there is none.
    :ivar limit: maximum characters of names and errors.
    """

    language: int
    alert: Mapping[str, Any]
    record: Mapping[str, Any]
    wait: Mapping[str, Any]
    limit: int

    def title(self) -> str:
        """Return the title."""
        what = self._what()
        title = self._say(f"title.{what}", **self._figures())
        if self._is_current and what.startswith(("not_", "lag_over", "remaining_over")):
            title = self._say("title.now", what=title, state=self._word(self.record["state"]))
        migration = " ".join(filter(None, (self._service(), self._id())))
        whole = self._say("title", what=title, migration=migration)
        # Condition and id stay readable: a long name gets the characters that they leave.
        room = MAX_TITLE - len(whole) - len(" ()")
        if room >= _LEAST_NAME and (name := clean_text(self.record.get("name"), room)):
            named = self._say("title.named", name=name, migration=migration)
            whole = self._say("title", what=title, migration=named)
        return _plain(clean_text(whole, MAX_TITLE) or "")

    def text(self, links: list[tuple[str, str]]) -> str:
        """Return the plain text."""
        facts = (*self._facts(), *((self._say(phrase), address) for phrase, address in links))
        lines = (self._say("label", label=label, value=value) for label, value in facts)
        return "\n".join(map(_plain, (self._lead(), *lines)))

    def markdown(self, links: list[tuple[str, str]]) -> str:
        """Return the markdown."""
        lines = [f"**{_escaped(self._lead())}**", ""]
        for label, value in self._facts():
            lines.append(f"- {self._say('label.markdown', label=label, value=_escaped(value))}")
        lines += [f"- [{self._say(phrase)}]({_destination(address)})" for phrase, address in links]
        return "\n".join(lines)

    def _say(self, phrase: str, **values: Any) -> str:
        return PHRASES[phrase][self.language].format(**values)

    @property
    def _is_current(self) -> bool:
        """True if the record is that of the last poll, and that poll is not long ago."""
        if not self.record or self.wait.get("last_error"):
            return False
        age = self.alert["at"] - _epoch(self.record["observed_at"])
        return bool(age <= allowed_gap(self.wait.get("poke_interval") or 0))

    # --- what has happened --------------------------------------------------------------------------------

    def _what(self) -> str:
        """Return the event, as the phrases name it."""
        when: str = self.alert["when"]
        return self._end(when) if self.alert["is_over"] else self._beginning(when)

    def _beginning(self, when: str) -> str:
        if when == POLLS_FAILING and self._seconds() < 1:
            return "poll_failed"
        if when == VERIFICATION_FAILED and self._check().get("state") == VerificationState.INCONSISTENT:
            return "inconsistent"
        if when != FAILED:
            return when
        state, outcome = self.record.get("state"), self.wait.get("outcome")
        if state in ("failed", "partially_succeeded", "cancelled"):
            return str(state)
        # A watcher has no deadline, and goes on.
        if self.wait.get("deadline") is None:
            return "out_of_reach"
        return str(outcome) if outcome in ("timeout", "poll_error") else "fail"

    def _end(self, when: str) -> str:
        state = self.record.get("state")
        if when == STALLED:
            return "moving" if state == "running" else "not_stalled"
        if when in WITH_THRESHOLD:
            name, figure = ("lag" if when == LAG_ABOVE else "remaining"), self._figure()
            is_shown = figure is not None and figure <= self.alert["above"]
            return f"{name}_not_above" if is_shown or state in ("running", "caught_up") else f"{name}_over"
        return {
            PAUSED: "not_paused",
            POLLS_FAILING: "answered",
            VERIFICATION_FAILED: "consistent",
            REACHED: "lost",
            FAILED: "not_failed",
        }[when]

    def _lead(self) -> str:
        """Return the first line."""
        return self._say(f"lead.{self._what()}", **self._figures())

    def _figures(self) -> dict[str, str]:
        """Return the values in titles and first lines."""
        figure, above = self._figure(), self.alert.get("above")
        is_time_left = self.alert["when"] == REMAINING_ABOVE
        return {
            "duration": self._duration(self._seconds()),
            "above": "" if above is None else self._duration(above),
            "figure": "" if figure is None else (self._left if is_time_left else self._duration)(figure),
            "target": self._targets(),
            "wanted": self._wanted(),
        }

    def _figure(self) -> float | None:
        """Return the figure that the condition compares, or None."""
        names = {LAG_ABOVE: "lag_seconds", REMAINING_ABOVE: "remaining_seconds"}
        return self.record.get(names.get(self.alert["when"], ""))

    def _seconds(self) -> float:
        """Return for how long the condition holds, or has held."""
        return float(self.alert["at"] - self.alert["since"])

    # --- the facts ----------------------------------------------------------------------------------------

    def _facts(self) -> list[tuple[str, str]]:
        """Return labels and values, in the order in which they are read."""
        return [(self._say(phrase), value) for phrase, value in self._known() if value]

    def _known(self) -> Iterator[tuple[str, str | None]]:
        what, record, error = self._what(), self.record, self.record.get("error") or {}
        yield "name", self._own(record.get("name"))
        yield "service", self._service()
        yield "id", self._id()
        if record:
            yield ("state" if self._is_current else "last_state"), self._state()
        yield self._period()
        if (percent := record.get("percent")) is not None:
            yield "percent", self._say("percent.value", percent=percent)
        if (lag := record.get("lag_seconds")) is not None:
            yield "lag", self._duration(lag)
        if (left := record.get("remaining_seconds")) is not None:
            yield "remaining", self._left(left)
        if self._is_about_check():
            yield "verification", self._verification()
        yield "error", self._error(error)
        if record.get("retrying"):
            yield "retrying", self._retrying(record["retrying"])
        if what in ("timeout", "poll_error", "fail", "out_of_reach"):
            yield "reason", self._own(self.alert.get("reason"))
        else:
            yield "poll_error", self._own(self.wait.get("last_error"))
        remedy = None if what in _OF_ITS_OWN else self._own(error.get("remedy"))
        yield "remedy", remedy or self._advice(what)
        for warning in (self.wait.get("warnings") or ())[:2]:
            yield "warning", self._own(warning)
        if what not in ("reached", "lost"):
            yield "wanted", self._wanted()
        yield "task", self._own(self.alert.get("task"))

    def _own(self, text: object) -> str | None:
        """Return a text of the service or of the user, truncated; None for an empty one."""
        return clean_text(text, self.limit)

    def _service(self) -> str | None:
        service = str(self.record.get("service") or self.wait.get("service") or "")
        english = SERVICES.get(service, service)
        return self._own(SERVICES_ZH.get(service, english) if LANGUAGES[self.language] == "zh" else english)

    def _id(self) -> str | None:
        return self._own(self.record.get("migration_id") or self.wait.get("migration_id"))

    def _word(self, word: object) -> str:
        """Return the phrase for a state or a target; the service's own word as it is."""
        phrase = f"is.{word}".lower()
        return self._say(phrase) if phrase in PHRASES else self._own(word) or ""

    def _state(self) -> str:
        state, status = self._word(self.record["state"]), self._own(self.record.get("service_status"))
        if status and status.lower() not in (self.record["state"], state):
            state = self._say("with_status", state=state, status=status)
        if self._is_current:
            return state
        return self._say("as_of", state=state, time=_utc(_epoch(self.record["observed_at"])))

    def _period(self) -> tuple[str, str]:
        """Return since when the condition holds, or how long it has held."""
        since, at = self.alert["since"], self.alert["at"]
        if self._what() == REACHED and self.wait.get("held_since") is not None:
            since = min(self.wait["held_since"], at)
        if at - since < 1:
            return "at", _utc(at)
        duration = self._duration(at - since)
        if self.alert["is_over"]:
            return "lasted", self._say("span", duration=duration, since=_utc(since), at=_utc(at))
        return "since", self._say("for", time=_utc(since), duration=duration)

    def _error(self, error: Mapping[str, Any]) -> str | None:
        code, message = self._own(error.get("code")), self._own(error.get("message"))
        if code and message and code not in message:
            return self._say("coded", code=code, message=message)
        return message or code

    def _retrying(self, retrying: Mapping[str, Any]) -> str:
        count, seconds = retrying.get("count"), retrying.get("for_seconds")
        known = (
            None if count is None else self._count("time", count),
            None if seconds is None else self._duration(seconds),
            self._own(retrying.get("reason")),
        )
        return self._say("and").join(filter(None, known))

    def _advice(self, what: str) -> str | None:
        phrase = f"advice.{what}"
        if what == "timeout" and self.record.get("state") == "paused":
            phrase = "advice.paused"
        return self._say(phrase) if phrase in PHRASES else None

    def _targets(self) -> str:
        words = map(self._word, self.wait.get("targets") or ())
        return self._own(self._say("or").join(words)) or ""

    def _wanted(self) -> str:
        """Return the targets, and the moment until which everything must be applied."""
        until = self.wait.get("checkpoint_after")
        targets = self._targets()
        return targets if until is None else self._say("applied", target=targets, time=_utc(until))

    # --- the data check -----------------------------------------------------------------------------------

    def _check(self) -> Mapping[str, Any]:
        return self.record.get("verification") or {}

    def _is_about_check(self) -> bool:
        state, targets = self._check().get("state"), self.wait.get("targets") or ()
        is_wanted = VERIFIED in (str(target).lower() for target in targets)
        is_asked = is_wanted or self.alert["when"] == VERIFICATION_FAILED
        return state is not None and (is_asked or state in MISMATCHES)

    def _verification(self) -> str:
        check = self._check()
        state, total = check["state"], check.get("tables_total")
        count = check.get(_COUNTED.get(state, ""))
        phrase = f"check.{state}"
        if count and state in MISMATCHES and total is not None:
            said = self._say(f"{phrase}.of", count=count, tables=self._count("table", total))
        else:
            said = (
                self._say(f"{phrase}.count", tables=self._count("table", count))
                if count
                else self._say(phrase)
            )
        if state in MISMATCHES and (names := self._names(check.get("worst") or ())):
            said = self._say("check.named", check=said, names=names)
        if check.get("checked_at"):
            said = self._say("check.at", check=said, time=_utc(_epoch(check["checked_at"])))
        return said

    def _names(self, worst: Sequence[Mapping[str, Any]]) -> str | None:
        """Return the names of the tables that differ most, with the number of rows."""
        named = []
        for table in worst[:_NAMED]:
            name, rows = (
                self._own(table.get("source") or table.get("destination")),
                table.get("rows_different"),
            )
            if name and rows:
                name = self._say("check.rows", table=name, rows=self._count("row", rows))
            named.append(name)
        return self._own(self._say("and").join(filter(None, named)))

    # --- figures ------------------------------------------------------------------------------------------

    def _count(self, noun: str, count: int) -> str:
        return self._say(noun if count == 1 else f"{noun}s", count=count)

    def _duration(self, seconds: float) -> str:
        """Return a duration in its two largest units."""
        if 0 < seconds < 1:
            return self._say("moment")
        left = max(int(seconds), 0)
        parts: list[str] = []
        for unit, size in _UNITS:
            count, left = divmod(left, size)
            if count:
                parts.append(self._count(unit, count))
            elif parts:
                break
        return " ".join(parts[:2]) or self._count("second", 0)

    def _left(self, seconds: float) -> str:
        """Return a time left, and whether it is an estimate."""
        duration = self._duration(seconds)
        is_estimate = self.record.get("remaining_source") == "estimate"
        return self._say("estimated", duration=duration) if is_estimate else duration


def _utc(moment: float) -> str:
    return f"{datetime.fromtimestamp(int(moment), UTC):%Y-%m-%d %H:%M:%S} UTC"


def _epoch(time: str) -> float:
    """Return epoch seconds of a time in a record."""
    return datetime.fromisoformat(time).timestamp()


def _plain(text: str) -> str:
    return text.translate(_LOOK_ALIKES).replace("](", "］(")


def _escaped(text: str) -> str:
    """Escape a text in markdown; a chat that knows no escapes finds no link with a text in it either."""
    return _MARKDOWN.sub(r"\\\g<0>", _plain(text))


def _destination(address: str) -> str:
    """Encode the characters that end a link in markdown."""
    return address.replace("(", "%28").replace(")", "%29").replace("`", "%60")
