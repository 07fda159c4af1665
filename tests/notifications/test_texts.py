"""The ready texts of alerts: true, complete, short, and safe in every chat."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from airflow_provider_migration.alerts import CONDITIONS, WITH_THRESHOLD
from airflow_provider_migration.get_provider_info import SERVICES
from airflow_provider_migration.notifications.texts import (
    LANGUAGES,
    MAX_TEXT,
    MAX_TITLE,
    PHRASES,
    SERVICES_ZH,
    Text,
    texts,
)
from airflow_provider_migration.progress import (
    MILESTONES,
    VERIFIED,
    MigrationErrorInfo,
    MigrationProgress,
    MigrationState,
    Retrying,
    TableVerification,
    Verification,
    VerificationState,
)
from airflow_provider_migration.wait.tracker import Outcome
from tests.conftest import ROOT
from tests.docs.pages import blocks_of

AT = datetime(2026, 1, 2, 3, 0, tzinfo=UTC)
TAB = "https://airflow.example/dags/moves/runs/r1/tasks/wait/plugin/migration"
CONSOLE = "https://console.example/dts/dts1"

each_case = pytest.mark.parametrize(
    ("when", "is_over"), [(when, is_over) for when in CONDITIONS for is_over in (False, True)]
)


def record(state: str = "running", **fields: Any) -> dict[str, Any]:
    """Make the JSON of a record, by default one of a running DTS job."""
    given = {"name": "orders to cloud", "service_status": "Migrating", "console_url": CONSOLE, **fields}
    progress = MigrationProgress(
        service="dts", migration_id="dts1", state=state, **{"observed_at": AT, **given}
    )
    return progress.model_dump(mode="json")


def said(
    when: str,
    *,
    is_over: bool = False,
    record: dict[str, Any] | None = None,
    seconds: float = 2700,
    reason: str | None = None,
    above: float | None = None,
    link: str = TAB,
    task: str = "",
    **wait: Any,
) -> dict[str, Text]:
    """Return the texts of an alert that holds, or has held, for some seconds."""
    at = AT.timestamp()
    threshold = 300.0 if when in WITH_THRESHOLD and above is None else above
    alert = {
        "when": when,
        "is_over": is_over,
        "since": at - seconds,
        "at": at,
        "after": 600.0,
        "above": threshold,
        "reason": reason,
        "task": task,
    }
    of_wait = {
        "service": "dts",
        "migration_id": "dts1",
        "targets": ["caught_up"],
        "deadline": at + 86_400,
        "last_error": None,
        "warnings": [],
        "outcome": None,
        "reason": reason,
        **wait,
    }
    return texts(alert, record, of_wait, link)


def english(when: str, **given: Any) -> Text:
    return said(when, **given)["en"]


# --- the phrases ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("phrase", PHRASES)
def test_phrase_is_there_in_both_languages(phrase: str) -> None:
    placeholders = [
        {field for _, field, _, _ in string.Formatter().parse(text) if field} for text in PHRASES[phrase]
    ]
    assert all(PHRASES[phrase])
    assert len(PHRASES[phrase]) == len(LANGUAGES)
    assert placeholders[0] == placeholders[1] or phrase.startswith("title.")


@pytest.mark.parametrize("phrase", PHRASES)
def test_chinese_has_chinese_punctuation(phrase: str) -> None:
    chinese = re.sub(r"\{[^}]*\}", "", PHRASES[phrase][1])
    if phrase != "coded":  # the service's own words
        assert not re.search(r"[,;:()!?]|\.$", chinese)


def test_each_state_target_and_result_has_a_phrase() -> None:
    for word in (*MigrationState, *MILESTONES, VERIFIED):
        assert f"is.{word}" in PHRASES
    for state in VerificationState:
        assert f"check.{state}" in PHRASES


def test_each_title_has_a_first_line() -> None:
    whats = {phrase.partition(".")[2] for phrase in PHRASES if phrase.startswith("title.")}
    leads = {phrase.partition(".")[2] for phrase in PHRASES if phrase.startswith("lead.")}
    advised = {phrase.partition(".")[2] for phrase in PHRASES if phrase.startswith("advice.")}
    assert leads == whats - {"now", "migration", "named"}
    assert advised <= leads


def test_chinese_names_are_those_of_services() -> None:
    assert set(SERVICES_ZH) <= set(SERVICES)


# --- what each alert says -------------------------------------------------------------------------------

DIFFERS = Verification(
    state=VerificationState.INCONSISTENT,
    tables_total=120,
    tables_different=1,
    worst=(
        TableVerification(source="shop.orders", rows_different=12),
        TableVerification(source="shop.items"),
    ),
    checked_at=AT,
)
AGREES = Verification(
    state=VerificationState.CONSISTENT, tables_total=120, tables_compared=120, checked_at=AT
)
NO_DISK = MigrationErrorInfo(code="E1", message="no disk", remedy="Add disk.")
UNANSWERED = {"last_error": "POST dts.example: no data received for 30 s (read_timeout)"}

# condition, over?, record, fields of the wait; what stands before the migration in the English title, a text
# of the English body, the same in Chinese
CASES: list[tuple[str, bool, dict[str, Any] | None, dict[str, Any], str, str, str, str]] = [
    ("stalled", False, record(), {}, "Migration stalled", "nothing has moved for 45 minutes",
     "迁移停滞", "已有 45 分钟没有任何进展"),
    ("stalled", True, record(), {}, "Moving again", "is moving again", "迁移已恢复进展", "已恢复进展"),
    ("stalled", True, record("caught_up"), {}, "No longer stalled, now in sync", "no longer stalled",
     "不再停滞（当前已追平）", "不再处于停滞状态"),
    ("stalled", True, record("failed"), {}, "No longer stalled, now failed", "State: failed",
     "不再停滞（当前失败）", "状态：失败"),
    ("stalled", True, record("cancelled"), {}, "No longer stalled, now cancelled", "State: cancelled",
     "不再停滞（当前已取消）", "状态：已取消"),
    ("lag_above", False, record(lag_seconds=725), {}, "Lag above 5 minutes",
     "The lag is 12 minutes 5 seconds, and the limit is 5 minutes.",
     "延迟超过 5 分钟", "当前延迟 12 分钟 5 秒，阈值为 5 分钟。"),
    ("lag_above", True, record(lag_seconds=12), {}, "Lag no longer above 5 minutes", "Lag: 12 seconds",
     "延迟不再超过 5 分钟", "延迟：12 秒"),
    ("lag_above", True, record("cancelled"), {}, "Alert on the lag is over, now cancelled",
     "because the migration has ended", "延迟告警结束（当前已取消）", "迁移已结束"),
    ("remaining_above", False, record(remaining_seconds=3900, remaining_source="estimate"), {},
     "Time left above 5 minutes", "another 1 hour 5 minutes (estimate), and the limit is 5 minutes",
     "预计剩余时间超过 5 分钟", "预计剩余时间 1 小时 5 分钟（估算值）"),
    ("remaining_above", False, record(remaining_seconds=3900, remaining_source="service"), {},
     "Time left above 5 minutes", "another 1 hour 5 minutes, and", "预计剩余时间超过 5 分钟",
     "1 小时 5 分钟，阈值"),
    ("remaining_above", True, record(remaining_seconds=60, remaining_source="service"), {},
     "Time left no longer above 5 minutes", "Time left: 1 minute\n",
     "预计剩余时间不再超过 5 分钟", "预计剩余时间：1 分钟\n"),
    ("remaining_above", True, record("caught_up"), {}, "Time left no longer above 5 minutes",
     "no longer above",
     "预计剩余时间不再超过 5 分钟", "不再超过"),
    ("remaining_above", True, record("cancelled", percent=40), {},
     "Alert on the time left is over, now cancelled",
     "because the migration has ended", "剩余时间告警结束（当前已取消）", "迁移已结束"),
    ("paused", False, record("paused", service_status="Suspending"), {}, "Migration paused",
     "State: paused (Suspending)", "迁移已暂停", "状态：已暂停（Suspending）"),
    ("paused", True, record(), {}, "No longer paused, now running", "State: running (Migrating)",
     "不再暂停（当前运行中）", "状态：运行中（Migrating）"),
    ("paused", True, record("failed"), {}, "No longer paused, now failed", "State: failed",
     "不再暂停（当前失败）", "状态：失败"),
    ("polls_failing", False, record(), UNANSWERED, "Polls failing",
     "Last known state: running (Migrating), at 2026-01-02 03:00:00 UTC",
     "状态查询失败", "最后已知状态：运行中（Migrating），查询时间 2026-01-02 03:00:00 UTC"),
    ("polls_failing", False, None, UNANSWERED, "Polls failing", "Its present state is not known",
     "状态查询失败", "当前状态不明"),
    ("polls_failing", True, record(), {}, "Polls answered again", "answered again", "状态查询已恢复",
     "已恢复"),
    ("verification_failed", False, record("caught_up", verification=DIFFERS), {},
     "Data check found differences",
     "differences in 1 of 120 tables: shop.orders (12 rows), shop.items; checked at 2026-01-02 03:00:00 UTC",
     "数据校验不一致",
     "120 张表中 1 张不一致：shop.orders（12 行）、shop.items；校验时间 2026-01-02 03:00:00 UTC"),
    ("verification_failed", False,
     record(verification=Verification(state=VerificationState.FAILED, tables_failed=2)), {},
     "Data check failed", "comparison failed for 2 tables", "数据校验失败", "2 张表未能比对"),
    ("verification_failed", True, record(verification=AGREES), {}, "Data check found no differences",
     "no differences in 120 tables", "数据校验未发现不一致", "已比对 120 张表，未发现不一致"),
    ("reached", False, record("caught_up"), {}, "Target reached (in sync)", "The target is reached: in sync.",
     "已达到目标（已追平）", "已达到目标：已追平。"),
    ("reached", False, record("caught_up"), {"targets": ["verified", "Finished"], "checkpoint_after": 1.5e9},
     "Target reached (in sync and verified or Finished)",
     "everything until 2017-07-14 02:40:00 UTC applied.",
     "已达到目标（已追平且数据校验一致或Finished）", "均已应用。"),
    ("reached", True, record(), {"deadline": None}, "Target no longer held (in sync)",
     "The target (in sync) is no longer held. Do not rely on the earlier message.",
     "目标已不再保持（已追平）", "请勿再以之前的消息为依据"),
    ("failed", False, record("failed", error=NO_DISK),
     {"outcome": "fail"}, "Migration failed", "Error: E1: no disk\nWhat to do: Add disk.",
     "迁移失败", "错误信息：E1: no disk\n处理建议：Add disk."),
    ("failed", False, record("partially_succeeded"), {"outcome": "fail"}, "Migration only partly succeeded",
     "only part of it succeeded", "迁移仅部分成功", "只有一部分成功"),
    ("failed", False, record("cancelled"), {"outcome": "fail"}, "Migration cancelled", "was cancelled",
     "迁移已取消", "已取消"),
    ("failed", False, record(), {"outcome": "timeout"}, "Wait timed out",
     "The wait for the target (in sync) timed out without reaching it.", "等待超时", "未达到目标（已追平）"),
    ("failed", False, record(), {"outcome": "poll_error", **UNANSWERED}, "Wait ended because polls failed",
     "Last known state: running", "状态查询失败，等待中止", "最后已知状态：运行中"),
    ("failed", False, record("paused"), {"outcome": "fail"}, "Wait ended without reaching its target",
     "The wait for the target (in sync) ended without reaching it.", "等待结束，未达到目标",
     "未达到目标（已追平）"),
    ("failed", False, record("succeeded"), {"outcome": "fail", "deadline": None},
     "Target cannot be reached any more", "cannot be reached any more", "目标已无法达到", "已无法达到"),
    ("failed", True, record(), {}, "No longer failed, now running", "no longer in a failed state",
     "已不处于失败状态（当前运行中）", "已不处于失败状态"),
]  # fmt: skip # one case in as few lines as it can be read


@pytest.mark.parametrize(("when", "is_over", "shown", "wait", "title", "body", "zh_title", "zh_body"), CASES)
def test_text_says_what_has_happened(
    when: str,
    is_over: bool,
    shown: dict[str, Any] | None,
    wait: dict[str, Any],
    title: str,
    body: str,
    zh_title: str,
    zh_body: str,
) -> None:
    found = said(when, is_over=is_over, record=shown, **wait)
    names = ("orders to cloud (", ")", "orders to cloud（", "）") if shown else ("", "", "", "")
    assert found["en"]["title"] == f"{title}: {names[0]}Alibaba Cloud DTS dts1{names[1]}"
    assert found["zh"]["title"] == f"{zh_title}：{names[2]}阿里云数据传输服务 DTS dts1{names[3]}"
    assert body in found["en"]["text"]
    assert zh_body in found["zh"]["text"]


def test_each_condition_has_a_case() -> None:
    assert {case[:2] for case in CASES} == {(when, over) for when in CONDITIONS for over in (False, True)}


@each_case
def test_only_reached_sounds_like_a_yes(when: str, is_over: bool) -> None:
    found = said(when, is_over=is_over, record=record(), outcome="fail")
    yes = (when, is_over) == ("reached", False)
    assert bool(re.search(r"\breached?\b(?! any more)", found["en"]["title"])) is yes
    assert found["zh"]["title"].startswith("已达到") is yes
    assert ("The target is reached" in found["en"]["text"]) is yes
    assert ("已达到目标" in found["zh"]["text"]) is yes


@pytest.mark.parametrize("outcome", [outcome.value for outcome in Outcome if outcome is not Outcome.WAIT])
@pytest.mark.parametrize("state", [state.value for state in MigrationState])
def test_end_of_the_wait_is_no_failure_of_the_migration(outcome: str, state: str) -> None:
    found = said("failed", record=record(state), outcome=outcome, reason="Timed out: it took too long.")
    has_failed = state in ("failed", "partially_succeeded", "cancelled")
    assert found["en"]["title"].startswith("Migration ") is has_failed
    assert ("Reason: Timed out: it took too long." in found["en"]["text"]) is not has_failed
    assert ("原因：Timed out: it took too long." in found["zh"]["text"]) is not has_failed


# --- facts ----------------------------------------------------------------------------------------------


@each_case
@pytest.mark.parametrize("shown", [None, record(name=None, service_status=None, console_url=None)])
def test_unknown_facts_are_left_out(when: str, is_over: bool, shown: dict[str, Any] | None) -> None:
    for text in said(when, is_over=is_over, record=shown, link="").values():
        whole = "\n".join((text["title"], text["text"], text["markdown"]))
        assert "None" not in whole
        assert not re.search(r"^\s*$", text["text"], re.MULTILINE)
        assert not re.search(r"(?m)[:：] *$|\(\)|（）|\s{2,}(?!-)", text["text"] + text["title"])
        assert "://" not in whole
        for label in ("Lag", "Progress", "Time left", "Error", "延迟", "迁移进度", "错误信息"):
            assert not re.search(rf"(?m)^{label}[:：]", text["text"])


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 seconds"),
        (0.4, "less than 1 second"),
        (1, "1 second"),
        (59.9, "59 seconds"),
        (60, "1 minute"),
        (3605, "1 hour"),
        (7500, "2 hours 5 minutes"),
        (86_400, "1 day"),
        (200_000, "2 days 7 hours"),
    ],
)
def test_duration_in_words(seconds: float, expected: str) -> None:
    assert f"\nLag: {expected}\n" in english("paused", record=record("paused", lag_seconds=seconds))["text"]


def test_duration_in_chinese() -> None:
    shown = record("paused", lag_seconds=7500)
    assert "\n延迟：2 小时 5 分钟\n" in said("paused", record=shown)["zh"]["text"]


def test_lag_of_zero_is_known() -> None:
    assert "\nLag: 0 seconds\n" in english("failed", record=record(lag_seconds=0))["text"]


@pytest.mark.parametrize(
    ("seconds", "is_over", "expected"),
    [
        (2700, False, "Since: 2026-01-02 02:15:00 UTC, 45 minutes so far"),
        (2700, True, "Lasted: 45 minutes, from 2026-01-02 02:15:00 UTC to 2026-01-02 03:00:00 UTC"),
        (0, False, "At: 2026-01-02 03:00:00 UTC"),
        (0, True, "At: 2026-01-02 03:00:00 UTC"),
    ],
)
def test_time_of_the_condition(seconds: float, is_over: bool, expected: str) -> None:
    found = english("paused", is_over=is_over, seconds=seconds, record=record("paused"))
    assert expected in found["text"].splitlines()


def test_reached_target_says_since_when_it_is_held() -> None:
    found = english("reached", seconds=0, record=record("caught_up"), held_since=AT.timestamp() - 600)
    assert "Since: 2026-01-02 02:50:00 UTC, 10 minutes so far" in found["text"]


def test_first_failed_poll_has_no_duration() -> None:
    found = english("polls_failing", seconds=0, record=record(), **UNANSWERED)
    assert found["text"].startswith("The last poll of the migration failed. Its present state is not known.")


@pytest.mark.parametrize(("age", "is_current"), [(0, True), (150, True), (151, False), (86_400, False)])
def test_old_record_is_the_last_known_state(age: float, is_current: bool) -> None:
    """A triggerer that was down past the deadline has polled nothing since."""
    old = record(observed_at=AT - timedelta(seconds=age))
    text = english("failed", record=old, outcome="timeout", poke_interval=60)["text"]
    assert ("\nState: running (Migrating)\n" in text) is is_current
    assert ("\nLast known state: running (Migrating), at 2026-01-0" in text) is not is_current


def test_remedy_of_the_migration_is_no_advice_about_polls() -> None:
    failed = record(error=MigrationErrorInfo(message="no disk", remedy="Add disk."))
    assert "Add disk." in english("stalled", record=failed)["text"]
    assert "Add disk." not in english("polls_failing", record=failed, **UNANSWERED)["text"]


def test_retries_warnings_and_help_are_named() -> None:
    shown = record(
        retrying=Retrying(count=3, for_seconds=600, reason="deadlock"),
        error=MigrationErrorInfo(code="E1", help_url="https://help.example/E1"),
    )
    text = english("stalled", record=shown, warnings=["The clock differs.", "A second.", "A third."])["text"]
    assert "The service is retrying: 3 times, 10 minutes, deadlock" in text
    assert "Warning: The clock differs.\nWarning: A second.\n" in text
    assert "A third." not in text
    assert text.endswith(f"Airflow: {TAB}\nConsole: {CONSOLE}\nHelp on the error: https://help.example/E1")


@pytest.mark.parametrize(
    "state", [state for state in VerificationState if state != VerificationState.UNKNOWN]
)
def test_data_check_is_named_where_it_is_wanted(state: VerificationState) -> None:
    shown = record(verification=Verification(state=state))
    is_bad = state in (VerificationState.INCONSISTENT, VerificationState.FAILED)
    assert ("Data check: " in english("stalled", record=shown)["text"]) is is_bad
    assert "Data check: " in english("stalled", record=shown, targets=["Verified"])["text"]


def test_service_of_another_version_has_its_own_name() -> None:
    found = said("paused", service="acme")
    assert found["en"]["title"] == "Migration paused: acme dts1"
    assert found["zh"]["title"] == "迁移已暂停：acme dts1"


# --- hostile texts --------------------------------------------------------------------------------------

HOSTILE = [
    "[click](https://evil.example)",
    "![x](https://evil.example/x.png)",
    "<https://evil.example|orders>",
    "<!channel> <!here> <@U123> <@all>",
    "@all @everyone @here @13800000000",
    '<at user_id="all"></at> <b>bold</b>',
    "*bold* _it_ __b__ ~~gone~~ `code` ``a",
    "https://evil.example www.evil.example",
    "&lt;!channel&gt; &#60;b&#62; &amp;",
    "a\nb\r\n# head\n- item\n> quote\n\n***\n",
    "\x1b[31mred\x00\x07\u202eevil\u2028line",
    "trailing \\",
    "{name} {0} {{ alert }} %s %(x)s",
    "shop_orders_2 INCRE_TRANSFER_STARTED _x y_",
    "x" * 5_000,
    "数" * 5_000,
    "`" * 300 + "[" * 300,
]

# Links without a scheme too: some chats find them.
MARKDOWN = MarkdownIt("commonmark", {"linkify": True}).enable(["linkify", "strikethrough", "table"])
BLOCKS = {"paragraph", "bullet_list", "list_item", "inline"}


def tokens(markdown: str) -> Iterator[Token]:
    for block in MARKDOWN.parse(markdown):
        yield block
        yield from block.children or ()


def check(found: dict[str, Text], links: set[str]) -> None:
    """Hold the texts of an alert against what every chat needs."""
    assert list(found) == ["en", "zh"]
    for text in found.values():
        assert 0 < len(text["title"]) <= MAX_TITLE
        assert 0 < len(text["text"]) <= MAX_TEXT
        for value in (text["title"], *text["text"].split("\n"), *text["markdown"].split("\n")):
            assert not [
                letter for letter in value if unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp")
            ]
            assert not set("<>@") & set(value)
        assert "" not in text["text"].split("\n")
        kinds = {
            token.type.removesuffix("_open").removesuffix("_close") for token in tokens(text["markdown"])
        }
        assert kinds <= {*BLOCKS, "strong", "text", "link", "text_special"}
        found_links = [token.attrs["href"] for token in tokens(text["markdown"]) if token.type == "link_open"]
        assert set(found_links) <= links
        bold = [token for token in tokens(text["markdown"]) if token.type == "strong_open"]
        items = [token for token in tokens(text["markdown"]) if token.type == "list_item_open"]
        assert len(bold) == 1 + len(items) - len(found_links)


@pytest.mark.parametrize("text", HOSTILE)
@each_case
def test_hostile_text_is_shown_and_does_nothing(when: str, is_over: bool, text: str) -> None:
    shown = record(
        name=text,
        service_status=text,
        error=MigrationErrorInfo(code=text, message=text, remedy=text),
        verification=Verification(
            state=VerificationState.INCONSISTENT,
            worst=(TableVerification(source=text, rows_different=1),) * 9,
        ),
        retrying=Retrying(reason=text),
    )
    wait = {"targets": [text, "caught_up"], "last_error": text, "warnings": [text] * 3, "migration_id": text}
    found = said(when, is_over=is_over, record=shown, reason=text, outcome="fail", **wait)
    check(found, {TAB, CONSOLE})


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("root@10.0.0.1", "root＠10.0.0.1"),
        ("<!channel>", "‹!channel›"),
        ("[x](https://evil.example)", r"\[x］(https\://evil.example)"),
        ("*a* `b` ~c~ \\", r"\*a\* \`b\` \~c\~ \\"),
        ("_a_b_", r"\_a_b\_"),
        ("INCRE_TRANSFER_STARTED", "INCRE_TRANSFER_STARTED"),
        ("R&D &lt;", r"R&D \&lt;"),
        ("www.evil.example", r"www\.evil.example"),
    ],
)
def test_escapes_in_markdown(text: str, escaped: str) -> None:
    markdown = english("paused", record=record("paused", service_status=None, name=text))["markdown"]
    assert f"- **Migration**: {escaped}" in markdown.split("\n")


letters = st.text(
    st.sampled_from("ab_*[]()!`~<>@&#;:/.\\|{}-+=\n\r\x00\u2028 数一") | st.characters(), max_size=60
)
own = st.one_of(st.none(), letters, st.sampled_from(HOSTILE))
seconds = st.one_of(st.none(), st.floats(0, 1e8))


@given(
    when=st.sampled_from(CONDITIONS),
    is_over=st.booleans(),
    state=st.sampled_from([state.value for state in MigrationState]),
    service=st.one_of(st.sampled_from(list(SERVICES)), letters),
    own=st.lists(own, min_size=12, max_size=12),
    lag=seconds,
    left=seconds,
    check_state=st.sampled_from([None, *VerificationState]),
    counts=st.lists(st.one_of(st.none(), st.integers(0, 2**53)), min_size=3, max_size=3),
    has_record=st.booleans(),
    lasted=st.floats(0, 1e8),
    outcome=st.sampled_from([None, *(outcome.value for outcome in Outcome)]),
    targets=st.lists(letters, max_size=30),
)
def test_texts_are_short_and_safe(
    when: str,
    is_over: bool,
    state: str,
    service: str,
    own: list[str | None],
    lag: float | None,
    left: float | None,
    check_state: str | None,
    counts: list[int | None],
    has_record: bool,
    lasted: float,
    outcome: str | None,
    targets: list[str],
) -> None:
    """The JSON of a record is not validated here: the texts trust no other part to have cleaned it."""
    given = {
        **record(state, lag_seconds=lag, remaining_seconds=left),
        "service": service,
        "migration_id": own[0],
        "name": own[1],
        "service_status": own[2],
        "console_url": own[3],
        "error": {"code": own[4], "message": own[5], "remedy": own[6], "help_url": own[7]},
        "retrying": {"count": counts[0], "for_seconds": lag, "reason": own[8]},
        "verification": check_state
        and {
            "state": check_state,
            "tables_total": counts[1],
            "tables_different": counts[2],
            "worst": [{"source": own[9], "rows_different": counts[0]}] * 7,
        },
    }
    found = said(
        when,
        is_over=is_over,
        record=given if has_record else None,
        seconds=lasted,
        link=own[10] or "",
        service=service,
        migration_id=own[0],
        targets=targets,
        last_error=own[11],
        warnings=[own[8], own[9]],
        outcome=outcome,
        reason=own[11],
    )
    links = {str(text).replace("(", "%28").replace(")", "%29").replace("`", "%60") for text in own}
    assert all("None" not in text["text"] for text in found.values()) or any(
        "None" in str(text) for text in own
    )
    check(found, links)


@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1)",
        "ftp://x.example/",
        "https://x.example/a b",
        "//x.example",
        "https://u@x.example",
    ],
)
def test_only_web_addresses_are_links(link: str) -> None:
    shown = record(console_url=link, error=MigrationErrorInfo(help_url=link))
    for text in said("stalled", record=shown, link=link).values():
        assert link not in text["text"]
        assert "](" not in text["markdown"]


def test_title_is_no_markdown_link() -> None:
    """The DingTalk plugin of Apprise puts the title into the markdown."""
    found = said("stalled", record=record(name="[x](https://evil.example) ![y](https://evil.example/y.png)"))
    for text in found.values():
        assert "](" not in text["title"]
        assert "](" not in text["text"]


@pytest.mark.parametrize("page", ["a(b)c", "a)b", "a(b", "a`b", "a[b]c", "a*b_c"])
def test_address_with_markdown_is_one_link(page: str) -> None:
    link = f"https://console.example/{page}"
    markdown = english("stalled", record=record(console_url=None), link=link)["markdown"]
    (opening,) = [token for token in tokens(markdown) if token.type == "link_open"]
    assert unquote(str(opening.attrs["href"])) == link


@pytest.mark.parametrize("name", ["n" * 256, "数" * 256])
def test_long_name_leaves_condition_and_id_in_the_title(name: str) -> None:
    title = english("verification_failed", record=record(name=name))["title"]
    assert title.startswith("Data check failed: " + name[:70])
    assert title.endswith("… (Alibaba Cloud DTS dts1)")
    assert len(title) == MAX_TITLE


def test_long_id_leaves_no_name_in_the_title() -> None:
    shown = record("caught_up", name="orders") | {"migration_id": "1" * 36}
    title = english("reached", record=shown, targets=["INCRE_TRANSFER_STARTED", "INCRE_VERIFY"])["title"]
    assert title == f"Target reached (INCRE_TRANSFER_STARTED or INCRE_VERIFY): Alibaba Cloud DTS {'1' * 36}"


def test_long_errors_leave_the_links_in_the_text() -> None:
    long = "x" * 2000
    shown = record(name=long, error=MigrationErrorInfo(code=long, message=long, remedy=long))
    for text in said("stalled", record=shown, last_error=long, warnings=[long] * 5).values():
        assert TAB in text["text"]
        assert CONSOLE in text["text"]


# --- read aloud -----------------------------------------------------------------------------------------


def test_text_of_a_stall() -> None:
    shown = record(percent=68, lag_seconds=725, remaining_seconds=3900, remaining_source="estimate")
    found = said("stalled", record=shown)
    assert found["en"] == {
        "title": "Migration stalled: orders to cloud (Alibaba Cloud DTS dts1)",
        "text": (
            "The migration has stalled: nothing has moved for 45 minutes.\n"
            "Migration: orders to cloud\n"
            "Service: Alibaba Cloud DTS\n"
            "ID: dts1\n"
            "State: running (Migrating)\n"
            "Since: 2026-01-02 02:15:00 UTC, 45 minutes so far\n"
            "Progress: 68 %\n"
            "Lag: 12 minutes 5 seconds\n"
            "Time left: 1 hour 5 minutes (estimate)\n"
            "What to do: Look in the console for errors, and in both databases for locks, long transactions "
            "and full disks.\n"
            "Wanted: in sync\n"
            f"Airflow: {TAB}\n"
            f"Console: {CONSOLE}"
        ),
        "markdown": (
            "**The migration has stalled: nothing has moved for 45 minutes.**\n"
            "\n"
            "- **Migration**: orders to cloud\n"
            "- **Service**: Alibaba Cloud DTS\n"
            "- **ID**: dts1\n"
            "- **State**: running (Migrating)\n"
            "- **Since**: 2026-01-02 02:15:00 UTC, 45 minutes so far\n"
            "- **Progress**: 68 %\n"
            "- **Lag**: 12 minutes 5 seconds\n"
            "- **Time left**: 1 hour 5 minutes (estimate)\n"
            "- **What to do**: Look in the console for errors, and in both databases for locks, long "
            "transactions and full disks.\n"
            "- **Wanted**: in sync\n"
            f"- [Airflow]({TAB})\n"
            f"- [Console]({CONSOLE})"
        ),
    }
    assert found["zh"]["title"] == "迁移停滞：orders to cloud（阿里云数据传输服务 DTS dts1）"
    assert found["zh"]["text"] == (
        "迁移停滞：已有 45 分钟没有任何进展。\n"
        "迁移任务：orders to cloud\n"
        "服务：阿里云数据传输服务 DTS\n"
        "任务 ID：dts1\n"
        "状态：运行中（Migrating）\n"
        "起始于：2026-01-02 02:15:00 UTC（已持续 45 分钟）\n"
        "迁移进度：68%\n"
        "延迟：12 分钟 5 秒\n"
        "预计剩余时间：1 小时 5 分钟（估算值）\n"
        "处理建议：请在控制台查看报错，并检查源库和目标库是否存在锁等待、长事务或磁盘写满。\n"
        "等待目标：已追平\n"
        f"Airflow：{TAB}\n"
        f"控制台：{CONSOLE}"
    )


def test_page_shows_the_text_of_a_stall() -> None:
    (block,) = [block for block in blocks_of(ROOT / "docs" / "alerts.md") if block.language == "text"]
    shown = record(percent=68, remaining_seconds=3900, remaining_source="estimate")
    shown |= {"migration_id": "dtsdemo0001"}
    found = english("stalled", record=shown, seconds=1800, task="orders.in_sync")["text"]
    assert block.code.partition("Airflow: ")[0] == found.partition("Airflow: ")[0]


def test_advice_after_a_timeout_follows_the_state() -> None:
    resumes = "What to do: If the pause is not intended, resume the migration in the console."
    waits_again = (
        "What to do: If the migration is healthy, clear the task to wait again, with a longer timeout."
    )
    for state, advice in (("paused", resumes), ("running", waits_again)):
        text = english("failed", record=record(state), reason="Timed out: …", outcome="timeout")["text"]
        assert advice in text


def test_text_of_polls_that_fail_from_the_first_on() -> None:
    error = "Cannot connect to dts.example: connection refused. Check the host."
    assert said("polls_failing", link="", last_error=error)["en"]["text"] == (
        "No poll of the migration has been answered for 45 minutes. Its present state is not known.\n"
        "Service: Alibaba Cloud DTS\n"
        "ID: dts1\n"
        "Since: 2026-01-02 02:15:00 UTC, 45 minutes so far\n"
        "Error of the last poll: Cannot connect to dts.example: connection refused. Check the host.\n"
        "What to do: Check the connection in Airflow, its key and permissions, and the network.\n"
        "Wanted: in sync"
    )


def test_text_of_a_target_that_is_lost() -> None:
    shown = record(name=None, lag_seconds=95)
    assert said("reached", is_over=True, record=shown, deadline=None, link="")["zh"]["text"] == (
        "目标（已追平）已不再保持。请勿再以之前的消息为依据。\n"
        "服务：阿里云数据传输服务 DTS\n"
        "任务 ID：dts1\n"
        "状态：运行中（Migrating）\n"
        "持续时间：45 分钟（2026-01-02 02:15:00 UTC 至 2026-01-02 03:00:00 UTC）\n"
        "延迟：1 分钟 35 秒\n"
        "处理建议：当前不要割接。请在控制台确认迁移发生了什么变化。\n"
        f"控制台：{CONSOLE}"
    )
