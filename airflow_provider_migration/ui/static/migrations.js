// The Migrations page: every migration that is watched now or that has ended in the last day.

import { ApiError, get, keepReading, ofTask, stored, xcom } from "./api.js";
import * as format from "./format.js";
import * as parts from "./parts.js";
import { failedPolls, failedText, whichOf } from "./wait.js";

const SECONDS = 15;
const SECONDS_OFF_SCREEN = 60;
const DAY = 86_400_000;
const RECORD = "migration_progress";
const WAIT = "migration_wait";
const CHOICE = "migrations"; // in the session's storage: what is searched, filtered and sorted by
const PAGE = 100; // as much as Airflow gives at once
const MOST_PAGES = 20;
const AT_ONCE = 4; // requests; a browser has six connections, of which Airflow's own page needs some
const SHOWN = 100; // rows before "Show more"

const ALL_TASKS = "dags/~/dagRuns/~/taskInstances";
const at = (id) => document.getElementById(id);

/**
 * By key; `writtenAt` and `readAt` say which record there is and which was read, `waitWrittenAt` and `waitReadAt`
 * likewise of the wait, `askedAt` when anything was read (ms).
 */
const migrations = new Map();
const newest = {}; // by XCom key: when the newest that was listed had been written
let isCut = false;
let shown = SHOWN;
let order = { column: null, direction: 1 };

async function read() {
  const since = Date.now() - DAY;
  const written = (key) => {
    const oldest = newest[key] ?? since;
    const isOld = (entry) => format.time(entry.timestamp) < oldest;
    return list(`${ALL_TASKS}/~/xcomEntries`, "xcom_entries", { xcom_key: key, order_by: "-timestamp" }, isOld);
  };
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
  isCut = [watched, ended, records].some((part) => part.isCut);

  const alive = new Set();
  for (const instance of [...watched.items, ...ended.items]) {
    const migration = of({ dag: instance.dag_id, run: instance.dag_run_id, task: instance.task_id, mapIndex: instance.map_index });
    migration.instance = instance;
    alive.add(migration.key);
  }
  for (const [key, entries, field] of [[RECORD, records, "writtenAt"], [WAIT, waits, "waitWrittenAt"]]) {
    for (const entry of entries.items) {
      of({ dag: entry.dag_id, run: entry.run_id, task: entry.task_id, mapIndex: entry.map_index })[field] = entry.timestamp;
      newest[key] = Math.max(newest[key] ?? 0, format.time(entry.timestamp));
    }
  }
  for (const migration of migrations.values()) {
    // Tasks of other classes, such as a user's own subclass of a sensor, are known by their records.
    migration.isForeign = !alive.has(migration.key);
  }
  show();
  await readRecords();
  forgetOld();
  show();
  return true;
}

const UNREAD = { instance: null, record: null, writtenAt: null, readAt: null, wait: null, waitWrittenAt: null, waitReadAt: null, askedAt: 0 };

function of(task) {
  const key = JSON.stringify([task.dag, task.run, task.task, task.mapIndex]);
  let migration = migrations.get(key);
  if (!migration) migrations.set(key, (migration = { key, task, ...UNREAD }));
  return migration;
}

/** Read a list page by page, until its end or until an item is one of those that need not be read. */
async function list(where, name, parameters, isEnough = () => false) {
  const items = [];
  for (let page = 0; page < MOST_PAGES; page += 1) {
    const answer = await get(where, { ...parameters, limit: PAGE, offset: items.length });
    const found = answer?.[name] ?? [];
    const end = found.findIndex(isEnough);
    items.push(...(end < 0 ? found : found.slice(0, end)));
    if (end >= 0 || found.length === 0 || items.length >= answer.total_entries) return { items, isCut: false };
  }
  return { items, isCut: true };
}

/** Read the records that are new: those on the screen at once, the others less often. */
async function readRecords() {
  const now = Date.now();
  const rows = inOrder();
  const others = [...migrations.values()].filter((migration) => !rows.includes(migration));
  const waiting = [
    ...rows.slice(0, shown).filter(isDue),
    ...rows
      .slice(shown)
      .concat(others)
      .filter((migration) => isDue(migration) && now - migration.askedAt >= SECONDS_OFF_SCREEN * 1000),
  ];
  let drawn = Date.now();
  const work = async () => {
    for (let migration = waiting.shift(); migration; migration = waiting.shift()) {
      await readOne(migration);
      if (Date.now() - drawn > 500) {
        drawn = Date.now();
        show();
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
}

const isDue = (migration) => isRecordDue(migration) || isWaitDue(migration);

function isRecordDue(migration) {
  if (migration.isForeign && !hasEnded(migration)) return true;
  if (migration.writtenAt !== null) return migration.writtenAt !== migration.readAt;
  // A record that has stood for more than a day is not among those that were listed.
  return migration.askedAt === 0 && migration.instance.start_date !== null;
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

const failing = (migration) => (hasEnded(migration) ? 0 : failedPolls(migration.wait, migration.writtenAt));

async function readOne(migration) {
  const { task, waitWrittenAt } = migration;
  const hasNewWait = isWaitDue(migration);
  const hasNewRecord = isRecordDue(migration) && (migration.writtenAt === null || migration.writtenAt !== migration.readAt);
  migration.askedAt = Date.now();
  try {
    if (migration.isForeign) migration.instance = await get(task.mapIndex < 0 ? ofTask(task) : `${ofTask(task)}/${task.mapIndex}`);
    if (hasNewRecord) {
      // A rescheduled task has no XCom for the moment in which it polls.
      const entry = (await xcom(task, RECORD)) ?? (migration.instance?.state === "running" ? await stored(task, RECORD) : null);
      if (format.isRecord(entry?.value)) {
        migration.record = entry.value;
        migration.writtenAt = entry.writtenAt;
        migration.haystack = null;
      }
      migration.readAt = migration.writtenAt;
    }
    if (hasNewWait) {
      migration.wait = await xcom(task, WAIT);
      migration.waitReadAt = waitWrittenAt;
      migration.haystack = null;
    }
  } catch (error) {
    // One that may not be read must not keep the others from being shown.
    if (!(error instanceof ApiError) || error.status === 401 || error.status === 0) throw error;
    migrations.delete(migration.key);
  }
}

const hasEnded = (migration) => format.ENDED.includes(migration.instance?.state);

function forgetOld() {
  for (const migration of migrations.values()) {
    const end = format.time(migration.instance?.end_date);
    if (migration.instance === null || (hasEnded(migration) && end !== null && end < Date.now() - DAY)) {
      migration.row?.remove();
      migrations.delete(migration.key);
    }
  }
}

// A task that was skipped, or set to success by hand, has nothing to show where no answer ever came.
const isListed = ({ instance, record, writtenAt }) =>
  instance !== null && (record !== null || writtenAt !== null || !["success", "skipped"].includes(instance.state));

const stateName = ({ record, instance }) => record?.state ?? (instance.state === "failed" ? "task_failed" : "none");
const serviceOf = ({ record, wait, instance }) => record?.service ?? whichOf(wait?.value).service ?? format.SENSOR_SERVICES[instance.operator];
const idOf = ({ record, wait }) => format.text(record?.migration_id) ?? whichOf(wait?.value).id;
const nameOf = (migration) => format.text(migration.record?.name) ?? idOf(migration) ?? migration.task.task;
const rankOf = (migration) =>
  Math.min(format.stateOf(stateName(migration)).rank, failing(migration) ? format.stateOf("unknown").rank : Infinity) -
  (migration.instance?.state === "failed" ? 1 : 0);

const COLUMNS = {
  state: rankOf,
  name: (migration) => nameOf(migration).toLowerCase(),
  percent: (migration) => format.percentage(migration.record?.percent),
  lag: (migration) => format.number(migration.record?.lag_seconds),
  seen: (migration) => format.time(migration.record?.observed_at),
  dag: (migration) => migration.instance.dag_display_name.toLowerCase(),
  task: (migration) => `${migration.instance.task_display_name.toLowerCase()} ${String(migration.task.mapIndex).padStart(6, "0")}`,
};

/** Those that are watched come first, and among them those that want a person's eye. */
function byNeed(one, other) {
  const ended = Number(hasEnded(one)) - Number(hasEnded(other));
  if (ended) return ended;
  if (!hasEnded(one)) return rankOf(one) - rankOf(other) || compare(nameOf(one), nameOf(other));
  return compare(format.time(other.instance.end_date), format.time(one.instance.end_date));
}

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
  if (!value) return chosen.sort(byNeed);
  const keyed = chosen.map((migration) => [value(migration), migration]);
  // What is not known comes last, whichever the direction.
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
  // Rows that stay where they are keep the focus and the reader's place.
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
  const hasFailed = (migration) => stateName(migration) === "failed" || migration.instance.state === "failed";
  const summary = [
    tally(watched, "watched now", { failed: hasFailed, "with failing polls": failing }),
    tally(ended, "ended in the last day", { failed: hasFailed }),
  ];
  parts.say(at("summary"), summary.join(" · "));
  const cut = isCut ? ` Only the latest ${format.countText(PAGE * MOST_PAGES)} were read.` : "";
  parts.say(at("count"), `${format.countText(Math.min(rows.length, shown))} of ${format.countText(rows.length)} shown.${cut}`);
  const isEmpty = listed.length === 0;
  at("friendly").hidden = rows.length > 0;
  at("frame").hidden = rows.length === 0;
  const [headline, line] = isEmpty
    ? ["No migrations", "None is being watched, and none has ended in the last day. A task that watches one appears here by itself."]
    : ["Nothing fits", "No migration has what you are looking for."];
  parts.say(at("friendly").firstElementChild, headline);
  parts.say(at("friendly").lastElementChild, line);
}

/** Say how many there are, and in parentheses how many of them are such as want an eye. */
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
    make("td", {}, make("span"), make("span", { class: "small" })),
    make("th", { scope: "row" }, make("a"), make("span", { class: "small" })),
    make("td", {}, make("div", { class: "progress" }, parts.makeBar(), make("span", { class: "number" }))),
    make("td", { class: "number nowrap" }),
    make("td", { class: "number nowrap" }),
    make("td", { class: "run" }, make("a"), make("span", { class: "small" })),
    make("td", {}, make("a"), make("span", { class: "small" })),
  );
}

function fillRow(migration) {
  const { task, instance, record } = migration;
  // Filled in anew only where something has changed.
  const failed = failing(migration);
  const version = `${migration.readAt} ${migration.waitReadAt} ${instance.state} ${instance.try_number} ${failed}`;
  if (migration.version === version) return;
  migration.version = version;
  migration.row ??= makeRow();
  const [state, name, progress, lag, seen, dag, ofTask] = migration.row.children;
  const isOver = hasEnded(migration);
  const percent = format.percentage(record?.percent);
  parts.setBadge(state.firstElementChild, stateName(migration));
  const isSaid = stateName(migration) === "task_failed";
  const word = isOver && !isSaid ? `task ${format.taskState(instance.state)}` : failed ? failedText(failed) : "";
  parts.say(state.lastElementChild, word);
  state.lastElementChild.classList.toggle("warn", failed > 0);
  parts.say(name.firstElementChild, nameOf(migration));
  name.firstElementChild.href = parts.addressOf.tab(task);
  const id = idOf(migration);
  const service = serviceOf(migration);
  const identity = [service ? format.serviceName(service) : instance.operator, id === nameOf(migration) ? null : id];
  parts.say(name.lastElementChild, identity.filter(Boolean).join(" · "));
  const [bar, number] = progress.firstElementChild.children;
  parts.setBar(bar, { percent, label: `Progress of ${nameOf(migration)}`, tone: format.stateOf(stateName(migration)).tone });
  parts.say(number, percent === null ? "–" : format.percentText(percent));
  const seconds = format.number(record?.lag_seconds);
  parts.say(lag, seconds === null ? "–" : format.duration(seconds));
  if (record) parts.setAge(seen, format.time(record.observed_at));
  else parts.say(seen, "–");
  parts.say(dag.firstElementChild, instance.dag_display_name);
  dag.firstElementChild.href = parts.addressOf.dag(task);
  parts.say(dag.lastElementChild, task.run);
  dag.lastElementChild.title = task.run;
  parts.say(ofTask.firstElementChild, instance.task_display_name);
  ofTask.firstElementChild.href = parts.addressOf.task(task);
  parts.say(ofTask.lastElementChild, task.mapIndex < 0 ? "" : (instance.rendered_map_index ?? `map index ${task.mapIndex}`));
}

function sortBy(column) {
  // A third click returns to what wants a person's eye.
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

function showTrouble(error) {
  at("trouble").hidden = error === null;
  if (error === null) return;
  document.querySelector("main").removeAttribute("aria-busy");
  if (!error.mayPass) {
    // What Airflow refuses now must not stay on the screen.
    migrations.clear();
    show();
    at("friendly").hidden = true;
  }
  parts.say(at("summary"), "");
  parts.say(at("trouble"), error.mayPass ? `${error.message} Trying again by itself.` : error.message);
}

const FIELDS = ["search", "show", "state-filter", "service-filter"];

const choose = () => {
  shown = SHOWN;
  keepChoice();
  show();
};

/** Keep what is looked for, for whoever goes to a task and comes back. */
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
    // Likewise; and what is not readable is none.
  }
  for (const field of FIELDS) {
    const value = format.text(kept?.values?.[field]);
    if (value === null) continue;
    // The states and services are not known yet.
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
