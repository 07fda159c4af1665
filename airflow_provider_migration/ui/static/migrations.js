// The Migrations page: migrations that are being watched or have ended in the last day.

import { ApiError, get, getPage, keepReading, now, ofTask, stored, troubleText, xcom } from "./api.js";
import * as format from "./format.js";
import * as parts from "./parts.js";
import { dataCheckWord } from "./verification.js";
import { failedPolls, failedText, isOfEarlierTry, reachedAt, warnings, whichOf, whyNobodyPolls } from "./wait.js";

const SECONDS = 15;
const SECONDS_OFF_SCREEN = 60;
const SLOWEST = 120; // maximum seconds between retries of a failed read
const OVERLAP = 120_000; // ms; an entry may be committed after one with a later timestamp, and clocks differ
const LIST_ALL = 300_000; // ms between full reads of the day's lists
const DAY = 86_400_000;
const RECORD = "migration_progress";
const WAIT = "migration_wait";
const CHOICE = "migrations"; // session storage key of search, filters and sort order
const PAGE = 100; // Airflow's maximum page size
const MOST_PAGES = 20;
const AT_ONCE = 4; // requests; a browser has six connections, of which Airflow's own page needs some
const SHOWN = 100; // rows before "Show more"

const ALL_TASKS = "dags/~/dagRuns/~/taskInstances";
const at = (id) => document.getElementById(id);

/**
 * By key; `writtenAt` and `readAt` say which record there is and which was read, `waitWrittenAt` and `waitReadAt`
 * likewise of the wait, `askedAt` when anything was read (ms), `hasAnswer` whether it is known if there is a record,
 * `failures` how many times in a row reading failed, `readEnd` which end of the task was read.
 */
const migrations = new Map();
let listedAt = null; // times of the last list requests, and of the last full ones (ms)
let listedAllAt = null;
let cut = 0; // number of items read from a longer list
let cutRecords = 0;
let hasRead = false;
let shown = SHOWN;
let order = { column: null, direction: 1 };

async function read() {
  const began = now();
  const since = began - DAY;
  const isWhole = listedAllAt === null || began - listedAllAt >= LIST_ALL || began < listedAt;
  const oldest = isWhole ? since : listedAt - OVERLAP;
  const isOld = (entry) => format.time(entry.timestamp) < oldest;
  const written = (key) => list(`${ALL_TASKS}/~/xcomEntries`, "xcom_entries", { xcom_key: key, order_by: "-timestamp" }, isOld);
  const [watched, ended, records, waits] = await Promise.all([
    list(ALL_TASKS, "task_instances", { state: format.WATCHING, operator: format.SENSORS, order_by: "-start_date" }),
    list(ALL_TASKS, "task_instances", {
      state: ["success", "failed", "skipped"],
      operator: format.SENSORS,
      end_date_gte: new Date(since).toISOString(),
      order_by: "-end_date",
    }),
    written(RECORD),
    written(WAIT),
  ]);
  listedAt = began;
  if (isWhole) listedAllAt = began;
  // A partial list does not tell what the full list had omitted.
  cutRecords = isWhole ? Math.max(records.cut, waits.cut) : Math.max(records.cut, waits.cut, cutRecords);
  cut = Math.max(watched.cut, ended.cut, cutRecords);
  hasRead = true;

  const alive = new Set();
  for (const instance of [...watched.items, ...ended.items]) {
    const migration = of({ dag: instance.dag_id, run: instance.dag_run_id, task: instance.task_id, mapIndex: instance.map_index });
    setInstance(migration, instance);
    alive.add(migration.key);
  }
  for (const [entries, field] of [[records, "writtenAt"], [waits, "waitWrittenAt"]]) {
    for (const entry of entries.items) {
      of({ dag: entry.dag_id, run: entry.run_id, task: entry.task_id, mapIndex: entry.map_index })[field] = entry.timestamp;
    }
  }
  for (const migration of migrations.values()) {
    // Tasks of other classes, such as a user's subclass of a sensor, are found by their records.
    migration.isForeign = !alive.has(migration.key);
  }
  show();
  await readRecords();
  forgetOld();
  show();
  return true;
}

const NOTHING = { record: null, isElsewhere: false, readAt: null, wait: null, waitReadAt: null, hasAnswer: false, hasWait: false, readEnd: null, haystack: null };
const UNREAD = { ...NOTHING, instance: null, writtenAt: null, waitWrittenAt: null, askedAt: 0, failures: 0 };

function setInstance(migration, instance) {
  // Data of an earlier try does not apply to this one.
  const isOther = migration.instance !== null && instance !== null && migration.instance.try_number !== instance.try_number;
  if (isOther) Object.assign(migration, NOTHING);
  migration.instance = instance;
}

function of(task) {
  const key = JSON.stringify([task.dag, task.run, task.task, task.mapIndex]);
  let migration = migrations.get(key);
  if (!migration) migrations.set(key, (migration = { key, task, ...UNREAD }));
  return migration;
}

/** Read a list page by page, until its end or the first item that need not be read. */
async function list(where, name, parameters, isEnough = () => false) {
  const items = [];
  for (let page = 0; page < MOST_PAGES; page += 1) {
    const { items: found, total } = await getPage(where, name, { ...parameters, limit: PAGE, offset: items.length });
    const end = found.findIndex(isEnough);
    items.push(...(end < 0 ? found : found.slice(0, end)));
    if (end >= 0 || found.length === 0 || (total !== null && items.length >= total)) return { items, cut: 0 };
  }
  return { items, cut: items.length };
}

/** Read new records: immediately for rows on the screen, less often for the others. */
async function readRecords() {
  const began = Date.now();
  const rows = inOrder();
  const onScreen = rows.slice(0, shown);
  const offScreen = new Set(migrations.values());
  for (const migration of onScreen) offScreen.delete(migration);
  const rested = (migration, seconds) => began - migration.askedAt >= seconds * 1000;
  const mayTry = (migration) => rested(migration, migration.failures ? Math.min(SECONDS * 2 ** (migration.failures - 1), SLOWEST) : 0);
  const waiting = [
    ...onScreen.filter((migration) => isDue(migration) || isWaitOpen(migration)),
    ...[...offScreen].filter((migration) => isDue(migration) && (migration.failures || rested(migration, SECONDS_OFF_SCREEN))),
  ].filter(mayTry);
  let drawn = Date.now();
  const work = async () => {
    try {
      for (let migration = waiting.shift(); migration; migration = waiting.shift()) {
        await readOne(migration);
        if (Date.now() - drawn > 500) {
          drawn = Date.now();
          show();
        }
      }
    } catch (error) {
      waiting.length = 0;
      throw error;
    }
  };
  // All workers must have ended before anything is removed from the screen.
  const done = await Promise.allSettled(Array.from({ length: AT_ONCE }, work));
  const failed = done.find(({ status }) => status === "rejected");
  if (failed) throw failed.reason;
}

const isDue = (migration) => migration.failures > 0 || isInstanceDue(migration) || isRecordDue(migration) || isWaitDue(migration);

/** Tasks in no list are polled one by one: an ended one might run again. */
const isInstanceDue = (migration) =>
  migration.isForeign && (!hasEnded(migration) || Date.now() - migration.askedAt >= SECONDS_OFF_SCREEN * 1000);

const endOf = ({ instance }) => `${instance?.state} ${instance?.end_date}`;

function isRecordDue(migration) {
  const { instance, writtenAt, readAt, hasAnswer, readEnd } = migration;
  if (writtenAt !== readAt) return true;
  // The last record may have been committed after a list with later ones.
  if (hasEnded(migration) && readEnd !== endOf(migration)) return true;
  // A record older than a day is not in the lists.
  return !hasAnswer && (instance?.start_date ?? null) !== null;
}

/**
 * A wait is read for the polls that fail: of these, one that is older than the record tells nothing. Where there
 * is no record, it is read for which migration it is.
 */
function isWaitDue(migration) {
  const { writtenAt, waitWrittenAt, waitReadAt } = migration;
  const isNeeded = writtenAt === null || (format.time(writtenAt) <= format.time(waitWrittenAt) && !hasEnded(migration));
  return waitWrittenAt !== waitReadAt && isNeeded;
}

/** For a row on the screen, the wait is also read once for its warnings, however old it is. */
const isWaitOpen = (migration) => !migration.hasWait && !hasEnded(migration) && (migration.instance?.start_date ?? null) !== null;

const failing = (migration) => (hasEnded(migration) ? 0 : failedPolls(migration.wait, migration.writtenAt));

async function readOne(migration) {
  const { task, waitWrittenAt } = migration;
  const hasNewWait = isWaitDue(migration) || isWaitOpen(migration);
  migration.askedAt = Date.now();
  try {
    if (migration.isForeign) setInstance(migration, await get(task.mapIndex < 0 ? ofTask(task) : `${ofTask(task)}/${task.mapIndex}`));
    if (migration.instance !== null && isRecordDue(migration)) await readRecord(migration);
    if (migration.instance !== null && hasNewWait) {
      migration.wait = await xcom(task, WAIT);
      migration.waitReadAt = waitWrittenAt;
      migration.hasWait = true;
      migration.haystack = null;
    }
    migration.failures = 0;
  } catch (error) {
    if (!(error instanceof ApiError) || error.status === 401) throw error;
    if (error.status === 403) {
      migration.row?.remove();
      migrations.delete(migration.key);
      return;
    }
    // Keep the last known values, and retry.
    migration.failures += 1;
  }
}

async function readRecord(migration) {
  const { task, instance } = migration;
  const end = endOf(migration);
  const found = await xcom(task, RECORD);
  migration.isElsewhere = format.isElsewhere(found);
  // A rescheduled task has no XCom while it polls.
  const isUsable = format.isRecord(found?.value);
  const entry = !isUsable && instance.state === "running" ? await stored(task, RECORD) : found;
  if (format.isRecord(entry?.value)) {
    migration.record = entry.value;
    migration.writtenAt = entry.writtenAt;
    migration.haystack = null;
  }
  migration.readAt = migration.writtenAt;
  migration.readEnd = end;
  migration.hasAnswer = true;
}

const hasEnded = (migration) => format.ENDED.includes(migration.instance?.state);

function forgetOld() {
  for (const migration of migrations.values()) {
    const end = format.time(migration.instance?.end_date);
    const isGone = migration.instance === null && !migration.failures;
    if (isGone || (hasEnded(migration) && end !== null && end < now() - DAY)) {
      migration.row?.remove();
      migrations.delete(migration.key);
    }
  }
}

// A task that was skipped, or marked success by hand, has nothing to show without a record.
const isListed = (migration) => {
  const { instance, record, writtenAt, failures } = migration;
  if (failures) return true;
  return instance !== null && (record !== null || writtenAt !== null || !["success", "skipped"].includes(instance.state));
};

function stateName(migration) {
  const { record, instance, isElsewhere, hasAnswer, failures } = migration;
  if (record) return format.stateOfRecord(record);
  if (instance?.state === "failed") return "task_failed";
  if (isElsewhere) return "elsewhere";
  if (hasAnswer || (instance && (instance.start_date ?? null) === null)) return "none";
  return failures ? "not_read" : "loading";
}

const serviceOf = ({ record, wait, instance }) =>
  format.text(record?.service) ?? whichOf(wait?.value).service ?? format.serviceOfSensor(instance?.operator) ?? undefined;
const idOf = ({ record, wait }) => format.text(record?.migration_id) ?? whichOf(wait?.value).id;
const nameOf = (migration) => format.text(migration.record?.name) ?? idOf(migration) ?? migration.task.task;
const rankOf = (migration) =>
  Math.min(
    format.stateOf(stateName(migration)).rank,
    dataCheckWord(migration.record) === null ? Infinity : format.stateOf("partially_succeeded").rank,
    failing(migration) || unattended(migration) || migration.failures ? format.stateOf("unknown").rank : Infinity,
  ) - (migration.instance?.state === "failed" ? 1 : 0);

const unattended = ({ wait, instance }) => whyNobodyPolls(wait, instance, now() / 1000);
const dagName = ({ instance, task }) => format.text(instance?.dag_display_name) ?? task.dag;
const taskName = ({ instance, task }) => format.text(instance?.task_display_name) ?? task.task;

const COLUMNS = {
  state: rankOf,
  name: (migration) => nameOf(migration).toLowerCase(),
  percent: (migration) => format.percentage(migration.record?.percent),
  lag: (migration) => format.number(migration.record?.lag_seconds),
  seen: (migration) => format.time(migration.record?.observed_at),
  dag: (migration) => dagName(migration).toLowerCase(),
  task: (migration) => `${taskName(migration).toLowerCase()} ${String(migration.task.mapIndex).padStart(6, "0")}`,
};

/**
 * What `byNeed` compares, made once for each: those that are watched come first, and among them those that want a
 * person's eye.
 */
function needOf(migration) {
  if (hasEnded(migration)) return { ended: 1, rank: 0, value: -(format.time(migration.instance.end_date) ?? -Infinity) };
  return { ended: 0, rank: rankOf(migration), value: nameOf(migration) };
}

const byNeed = ([one], [other]) => one.ended - other.ended || one.rank - other.rank || compare(one.value, other.value);

function compare(one, other) {
  if (one === other) return 0;
  if (one === null) return 1;
  if (other === null) return -1;
  return one < other ? -1 : 1;
}

function inOrder() {
  const wanted = at("show").value;
  const state = at("state-filter").value;
  const service = at("service-filter").value;
  const words = at("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const chosen = [...migrations.values()].filter(
    (migration) =>
      isListed(migration) &&
      (!wanted || (wanted === "ended") === hasEnded(migration)) &&
      (!state || stateName(migration) === state) &&
      (!service || serviceOf(migration) === service) &&
      words.every((word) => haystack(migration).includes(word)),
  );
  const value = COLUMNS[order.column];
  if (!value) return chosen.map((migration) => [needOf(migration), migration]).sort(byNeed).map(([, migration]) => migration);
  const keyed = chosen.map((migration) => [value(migration), migration]);
  // Unknown values come last in either direction.
  keyed.sort(([one], [other]) => (one === null || other === null ? compare(one, other) : compare(one, other) * order.direction));
  return keyed.map(([, migration]) => migration);
}

function haystack(migration) {
  const { record, task, instance } = migration;
  migration.haystack ??= [record?.name, idOf(migration), task.dag, instance?.dag_display_name, task.task, task.run, instance?.rendered_map_index]
    .filter(Boolean)
    .join("\n")
    .toLowerCase();
  return migration.haystack;
}

function show() {
  if (!hasRead) return;
  const listed = [...migrations.values()].filter(isListed);
  const rows = inOrder();
  document.querySelector("main").removeAttribute("aria-busy");
  at("filters").hidden = at("frame").hidden = at("below").hidden = listed.length === 0;
  setOptions(at("state-filter"), "Every state", count(listed, stateName), (state) => format.stateOf(state).label);
  setOptions(at("service-filter"), "Every service", count(listed, serviceOf), format.serviceName);
  sayWhatThereIs(listed, rows);
  const body = at("rows");
  const wanted = rows.slice(0, shown).map((migration) => {
    fillRow(migration);
    return migration.row;
  });
  // Unmoved rows keep the focus and a screen reader's position.
  if (wanted.length !== body.children.length || wanted.some((row, i) => row !== body.children[i])) {
    const focused = document.activeElement;
    body.replaceChildren(...wanted);
    if (focused?.isConnected) focused.focus({ preventScroll: true });
  }
  at("more").hidden = rows.length <= shown;
}

function sayWhatThereIs(listed, rows) {
  const watched = listed.filter((migration) => !hasEnded(migration));
  const ended = listed.filter(hasEnded);
  const isChecked = (state) => (migration) => migration.record?.verification?.state === state;
  const checks = { "with data that differs": isChecked("inconsistent"), "with a failed data check": isChecked("failed") };
  const hasFailed = (migration) => stateName(migration) === "failed" || migration.instance?.state === "failed";
  const summary = [
    tally(watched, "watched now", { failed: hasFailed, ...checks, "with failing polls": failing, "not polled": unattended }),
    tally(ended, "ended in the last day", { failed: hasFailed, ...checks }),
  ];
  const isLoading = (migration) => !migration.failures && (migration.instance === null || stateName(migration) === "loading");
  const loading = [...migrations.values()].filter(isLoading).length;
  if (loading) summary.push(`${format.countText(loading)} still loading`);
  parts.say(at("summary"), summary.join(" · "));
  const unread = listed.filter((migration) => migration.failures).length;
  const [what, whose] = unread === 1 ? ["1 record", "Its row keeps"] : [`${format.countText(unread)} records`, "Their rows keep"];
  parts.sayOrHide(at("unread"), unread ? `${what} could not be read. ${whose} the last known values; retrying automatically.` : null);
  const left = cut ? ` Only the latest ${format.countText(cut)} were read.` : "";
  parts.say(at("count"), `${format.countText(Math.min(rows.length, shown))} of ${format.countText(rows.length)} shown.${left}`);
  const isEmpty = listed.length === 0;
  // Show "No migrations" only once everything has been read.
  at("friendly").hidden = rows.length > 0 || (isEmpty && loading > 0);
  at("frame").hidden = rows.length === 0;
  const [headline, line] = isEmpty
    ? ["No migrations", "No migration is being watched, and none has ended in the last day. A new one appears here automatically."]
    : ["No matches", "No migration matches the search and the filters."];
  parts.say(at("friendly").firstElementChild, headline);
  parts.say(at("friendly").lastElementChild, line);
}

/** Count some migrations, with the number of those that need attention in parentheses. */
function tally(some, what, asides) {
  const counts = Object.entries(asides).map(([said, is]) => [some.filter(is).length, said]);
  const among = counts.filter(([number]) => number).map(([number, said]) => `${number} ${said}`);
  return `${some.length} ${what}${among.length ? ` (${among.join(", ")})` : ""}`;
}

function count(listed, of) {
  const counts = new Map();
  for (const migration of listed) counts.set(of(migration), (counts.get(of(migration)) ?? 0) + 1);
  counts.delete(undefined);
  return [...counts].sort(([one], [other]) => compare(format.stateOf(one).rank, format.stateOf(other).rank) || compare(one, other));
}

function setOptions(select, all, counts, label) {
  const options = [["", all], ...counts.map(([value, number]) => [value, `${label(value)} (${number})`])];
  if (select.value && !counts.some(([value]) => value === select.value)) options.push([select.value, `${label(select.value)} (0)`]);
  const chosen = select.value;
  parts.setList(select, options, () => parts.make("option"), (option, [value, text]) => {
    if (option.value !== value || !option.hasAttribute("value")) option.setAttribute("value", value);
    parts.say(option, text);
  });
  if (select.value !== chosen) select.value = chosen;
}

function makeRow() {
  const { make } = parts;
  return make(
    "tr",
    {},
    make("td", {}, make("span"), make("span", { class: "mark warn", role: "img", hidden: "" }, "⚠"), make("span", { class: "finding" }), make("span", { class: "small" })),
    make("th", { scope: "row" }, make("a"), make("span", { class: "small" })),
    make("td", {}, make("div", { class: "progress" }, parts.makeBar(), make("span", { class: "number" }))),
    make("td", { class: "number nowrap" }),
    make("td", { class: "number nowrap" }),
    make("td", { class: "run" }, make("a"), make("span", { class: "small" })),
    make("td", {}, make("a"), make("span", { class: "small" })),
  );
}

const LONGEST_WORD = 32; // characters; longer texts are sentences, which may wrap
const MOST_OF_WARNING = 500; // characters of a row's tooltip; the tab shows the rest

function warningOf(migration) {
  if (hasEnded(migration)) return null;
  const told = [unattended(migration), ...warnings(migration.wait?.value)].filter(Boolean).join("\n");
  return told.length > MOST_OF_WARNING ? `${told.slice(0, MOST_OF_WARNING)} …` : told || null;
}

/** Note below a row's state that explains it. */
function wordOf(migration) {
  const { instance, wait } = migration;
  const failed = failing(migration);
  const task = `task ${format.taskState(instance?.state)}`;
  if (migration.failures) return migration.record ? "Last known; cannot be read now" : "Cannot be read now";
  if (hasEnded(migration)) return stateName(migration) === "task_failed" ? "" : task;
  if (failed) return failedText(failed);
  const reached = reachedAt(wait, instance);
  if (reached !== null) return `Target reached at ${format.clock(reached, now())}; the task resumes when Airflow runs it.`;
  if (isOfEarlierTry(wait, instance)) return `From an earlier try; ${task}`;
  if (unattended(migration)) return "Nothing polls now";
  return format.isIdle(instance?.state) ? task : "";
}

function fillRow(migration) {
  const { task, instance, record } = migration;
  // Update the row only if something has changed.
  const failed = failing(migration);
  const word = wordOf(migration);
  const warned = warningOf(migration);
  const version = JSON.stringify([migration.readAt, migration.waitReadAt, migration.hasAnswer, stateName(migration), instance?.try_number, word, warned]);
  if (migration.version === version) return;
  migration.version = version;
  migration.row ??= makeRow();
  const [state, name, progress, lag, seen, dag, ofTask] = migration.row.children;
  const percent = format.percentage(record?.percent);
  parts.setBadge(state.firstElementChild, stateName(migration));
  const mark = state.children[1];
  mark.hidden = warned === null;
  mark.title = warned ?? "";
  mark.setAttribute("aria-label", warned === null ? "" : `Warning: ${warned}`);
  parts.sayOrHide(state.children[2], dataCheckWord(record));
  parts.say(state.lastElementChild, word);
  state.lastElementChild.classList.toggle("sentence", word.length > LONGEST_WORD);
  state.lastElementChild.classList.toggle("warn", failed > 0 || migration.failures > 0 || unattended(migration) !== null);
  parts.say(name.firstElementChild, nameOf(migration));
  name.firstElementChild.href = parts.addressOf.tab(task);
  const id = idOf(migration);
  const service = serviceOf(migration);
  const identity = [service ? format.serviceName(service) : instance?.operator, id === nameOf(migration) ? null : id];
  parts.say(name.lastElementChild, identity.filter(Boolean).join(" · "));
  const [bar, number] = progress.firstElementChild.children;
  parts.setBar(bar, { percent, label: `Progress of ${nameOf(migration)}`, tone: format.stateOf(stateName(migration)).tone });
  parts.say(number, percent === null ? "–" : format.percentText(percent));
  const seconds = format.number(record?.lag_seconds);
  parts.say(lag, seconds === null ? "–" : format.duration(seconds));
  if (record) parts.setAge(seen, format.time(record.observed_at));
  else parts.say(seen, "–");
  parts.say(dag.firstElementChild, dagName(migration));
  dag.firstElementChild.href = parts.addressOf.dag(task);
  parts.say(dag.lastElementChild, task.run);
  dag.lastElementChild.title = task.run;
  parts.say(ofTask.firstElementChild, taskName(migration));
  ofTask.firstElementChild.href = parts.addressOf.task(task);
  parts.say(ofTask.lastElementChild, task.mapIndex < 0 ? "" : (instance?.rendered_map_index ?? `map index ${task.mapIndex}`));
}

function sortBy(column) {
  // A third click returns to the default order by urgency.
  if (order.column !== column) order = { column, direction: 1 };
  else order = order.direction === 1 ? { column, direction: -1 } : { column: null, direction: 1 };
  markOrder();
  choose();
}

function markOrder() {
  for (const head of document.querySelectorAll("th[data-column]")) {
    if (head.dataset.column !== order.column) head.removeAttribute("aria-sort");
    else head.setAttribute("aria-sort", order.direction === 1 ? "ascending" : "descending");
  }
}

function showTrouble(state) {
  const trouble = troubleText(state);
  parts.sayOrHide(at("trouble"), trouble);
  if (trouble === null) return;
  document.querySelector("main").removeAttribute("aria-busy");
  if (!state.error || state.error.mayPass) {
    if (!hasRead) parts.say(at("summary"), "");
    return;
  }
  // Remove what Airflow now refuses, from the screen and for screen readers.
  migrations.clear();
  hasRead = false;
  listedAt = listedAllAt = null;
  at("rows").replaceChildren();
  for (const select of ["state-filter", "service-filter"]) setOptions(at(select), "", [], () => "");
  for (const part of [at("summary"), at("count"), at("unread"), ...at("friendly").children]) parts.say(part, "");
  for (const part of ["filters", "frame", "below", "friendly", "unread"]) at(part).hidden = true;
}

const FIELDS = ["search", "show", "state-filter", "service-filter"];

const choose = () => {
  shown = SHOWN;
  keepChoice();
  show();
};

/** Store search, filters and order for a user who opens a task and comes back. */
function keepChoice() {
  const values = Object.fromEntries(FIELDS.map((field) => [field, at(field).value]));
  try {
    sessionStorage.setItem(CHOICE, JSON.stringify({ values, order }));
  } catch {
    // A browser may keep storage from frames.
  }
}

function recallChoice() {
  let kept = null;
  try {
    kept = JSON.parse(sessionStorage.getItem(CHOICE));
  } catch {
    // Likewise; an unreadable entry is ignored.
  }
  for (const field of FIELDS) {
    const value = format.text(kept?.values?.[field]);
    if (value === null) continue;
    // The lists of states and services have not been filled yet.
    if (field.endsWith("-filter")) at(field).append(parts.make("option", { value }));
    at(field).value = value;
  }
  if (Object.hasOwn(COLUMNS, kept?.order?.column ?? "")) order = { column: kept.order.column, direction: kept.order.direction === -1 ? -1 : 1 };
  markOrder();
}

recallChoice();
at("filters").addEventListener("input", choose);
at("filters").addEventListener("submit", (event) => event.preventDefault());
at("more").addEventListener("click", () => {
  shown += SHOWN;
  show();
});
for (const head of document.querySelectorAll("th[data-column]")) {
  head.firstElementChild.addEventListener("click", () => sortBy(head.dataset.column));
}
parts.followLinksOutside();
parts.tickAges();
keepReading(read, SECONDS, showTrouble);
