// The Migrations page: migrations that are being watched or have ended in the last days, grouped by DAG run.

import { ApiError, get, getPage, keepReading, makeQueue, now, ofTask, stored, troubleText, xcom } from "./api.js";
import * as facts from "./facts.js";
import * as format from "./format.js";
import * as parts from "./parts.js";
import { dataCheckWord } from "./verification.js";
import { failedText, isOfEarlierTry, reachedAt, warnings } from "./wait.js";
import * as waves from "./waves.js";

const { compare, countBy, countFindings, failing, hasEnded, idOf, isListed, nameOf, rankOf, serviceOf, stateName, unattended } = facts;

const SECONDS = 15;
const SECONDS_OFF_SCREEN = 60;
const SLOWEST = 120; // maximum seconds between retries of a failed read
const OVERLAP = 120_000; // ms; an entry may be committed after one with a later timestamp, and clocks differ
const LIST_ALL = 300_000; // ms between full reads of the lists of the whole range
const DAY = 86_400_000;
const RANGES = { 1: "in the last day", 7: "in the last 7 days", 30: "in the last 30 days" };
const RECORD = "migration_progress";
const WAIT = "migration_wait";
const CHOICE = "migrations"; // session storage key of search, filters, sort order and collapsed waves
const PAGE = 100; // Airflow's maximum page size
const MOST_PAGES = 20;
const AT_ONCE = 4; // requests; a browser has six connections, of which Airflow's own page needs some
const SHOWN = 100; // rows before "Show more"
const REDRAW = 500; // ms between two looks at what is being read

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
let listedDays = null; // the range of the last full lists
let unread = 0; // tasks of the lists that have not been read yet
let cut = 0; // number of items read from a longer list
let cutLists = 0;
let hasRead = false;
let days = askedRange();
let order = { column: null, direction: 1 };
let shown = SHOWN;
let drawn = []; // the migrations on the screen
let drawnAt = -Infinity; // (ms)

/** By the key of the DAG run: a wave's rows on the page, how many of them are shown, and whether it is collapsed. */
const groups = new Map();
let collapsed = new Set(); // keys of runs

const queue = makeQueue(AT_ONCE);

async function read() {
  const began = now();
  const range = days;
  const since = began - range * DAY;
  const isNew = listedDays !== range;
  const isWhole = isNew || listedAllAt === null || began - listedAllAt >= LIST_ALL || began < listedAt;
  const oldest = isWhole ? since : listedAt - OVERLAP;
  const isOld = (entry) => format.time(entry.timestamp) < oldest;
  const alive = new Set();
  const counts = { watched: 0, ended: 0 };
  const tasks = (name, parameters) =>
    list(ALL_TASKS, "task_instances", { operator: format.SENSORS, ...parameters }, {
      onPage: (instances, left) => {
        for (const instance of instances) {
          const migration = of({ dag: instance.dag_id, run: instance.dag_run_id, task: instance.task_id, mapIndex: instance.map_index });
          setInstance(migration, instance);
          alive.add(migration.key);
        }
        counts[name] = left;
        unread = counts.watched + counts.ended;
        if (isNew && instances.length) showAtTimes();
      },
    });
  const written = (key) => list(`${ALL_TASKS}/~/xcomEntries`, "xcom_entries", { xcom_key: key, order_by: "-timestamp" }, { isEnough: isOld });
  const [watched, ended, records, waits] = await allOf([
    tasks("watched", { state: format.WATCHING, order_by: "-start_date" }),
    tasks("ended", { state: ["success", "failed", "skipped"], end_date_gte: new Date(oldest).toISOString(), order_by: "-end_date" }),
    written(RECORD),
    written(WAIT),
  ]);
  listedAt = began;
  if (isWhole) {
    listedAllAt = began;
    listedDays = range;
  }
  // A partial list does not tell what the full list had omitted.
  const longest = Math.max(ended.cut, records.cut, waits.cut);
  cutLists = isWhole ? longest : Math.max(longest, cutLists);
  cut = Math.max(watched.cut, cutLists);
  hasRead = true;

  for (const [entries, field] of [[records, "writtenAt"], [waits, "waitWrittenAt"]]) {
    for (const entry of entries.items) {
      of({ dag: entry.dag_id, run: entry.run_id, task: entry.task_id, mapIndex: entry.map_index })[field] = entry.timestamp;
    }
  }
  for (const migration of migrations.values()) {
    // Tasks of other classes, such as a user's subclass of a sensor, are found by their records. A partial list does
    // not repeat the tasks that ended earlier.
    migration.isForeign = !alive.has(migration.key) && (isWhole || !hasEnded(migration) || migration.isForeign !== false);
  }
  show();
  await readRecords();
  forgetOld();
  show();
  return true;
}

/** Wait for all, then fail with the first failure: a request that is still running could restore rows that a refusal removes. */
async function allOf(promises) {
  const done = await Promise.allSettled(promises);
  const failed = done.find(({ status }) => status === "rejected");
  if (failed) throw failed.reason;
  return done.map(({ value }) => value);
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
  if (!migration) migrations.set(key, (migration = { key, runKey: JSON.stringify([task.dag, task.run]), task, ...UNREAD }));
  return migration;
}

/**
 * Read a list until its end or the first item that need not be read. After the first page, which tells how long the
 * list is, several pages are read at once.
 */
async function list(where, name, parameters, { isEnough = () => false, onPage = () => {} }) {
  const items = [];
  const readPage = (offset) => queue(() => getPage(where, name, { ...parameters, limit: PAGE, offset }));
  let pages = 0;
  let size = PAGE;
  let total = null;
  while (pages < MOST_PAGES) {
    const many = pages === 0 || total === null ? 1 : Math.min(AT_ONCE, MOST_PAGES - pages, Math.ceil((total - items.length) / size));
    const answers = await Promise.all(Array.from({ length: many }, (_, i) => readPage((pages + i) * size)));
    for (const answer of answers) {
      const end = answer.items.findIndex(isEnough);
      const found = end < 0 ? answer.items : answer.items.slice(0, end);
      items.push(...found);
      total = answer.total;
      const isEnd = end >= 0 || answer.items.length === 0 || (total !== null && items.length >= total);
      onPage(found, isEnd || total === null ? 0 : total - items.length);
      if (isEnd) return { items, cut: 0 };
    }
    if (pages === 0) size = items.length; // Airflow may have a lower limit
    pages += many;
  }
  return { items, cut: items.length };
}

/** Read new records: immediately for rows on the screen, less often for the others. */
async function readRecords() {
  const began = Date.now();
  const onScreen = new Set(drawn.filter(({ key }) => migrations.has(key)));
  const offScreen = new Set(migrations.values());
  for (const migration of onScreen) offScreen.delete(migration);
  const rested = (migration, seconds) => began - migration.askedAt >= seconds * 1000;
  const mayTry = (migration) => rested(migration, migration.failures ? Math.min(SECONDS * 2 ** (migration.failures - 1), SLOWEST) : 0);
  const waiting = [
    ...[...onScreen].filter((migration) => isDue(migration) || isWaitOpen(migration)),
    ...[...offScreen].filter((migration) => isDue(migration) && (migration.failures || rested(migration, SECONDS_OFF_SCREEN))),
  ].filter(mayTry);
  const work = async () => {
    try {
      // A user who has chosen another range need not wait for the rest of this one.
      while (waiting.length && listedDays === days) {
        const migration = waiting.shift();
        await readOne(migration, onScreen.has(migration));
        showAtTimes();
      }
    } catch (error) {
      waiting.length = 0;
      throw error;
    }
  };
  await allOf(Array.from({ length: AT_ONCE }, work));
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

async function readOne(migration, isOnScreen) {
  const { task, waitWrittenAt } = migration;
  const hasNewWait = isWaitDue(migration) || (isOnScreen && isWaitOpen(migration));
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

function forgetOld() {
  for (const migration of migrations.values()) {
    const end = format.time(migration.instance?.end_date);
    const isGone = migration.instance === null && !migration.failures;
    if (isGone || (hasEnded(migration) && end !== null && end < now() - days * DAY)) {
      migration.row?.remove();
      migrations.delete(migration.key);
    }
  }
}

const COLUMNS = {
  state: rankOf,
  name: (migration) => nameOf(migration).toLowerCase(),
  percent: (migration) => format.percentage(migration.record?.percent),
  lag: (migration) => format.number(migration.record?.lag_seconds),
  seen: (migration) => format.time(migration.record?.observed_at),
  dag: (migration) => facts.dagName(migration).toLowerCase(),
  task: (migration) => `${facts.taskName(migration).toLowerCase()} ${String(migration.task.mapIndex).padStart(6, "0")}`,
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

function showAtTimes() {
  if (Date.now() - drawnAt < REDRAW) return;
  hasRead = true;
  show();
}

function show() {
  if (!hasRead) return;
  const listed = [...migrations.values()].filter(isListed);
  const rows = inOrder();
  document.querySelector("main").removeAttribute("aria-busy");
  at("filters").hidden = at("frame").hidden = at("below").hidden = listed.length === 0;
  setOptions(at("state-filter"), "Every state", countBy(listed, stateName), (state) => format.stateOf(state).label);
  setOptions(at("service-filter"), "Every service", countBy(listed, serviceOf), format.serviceName);
  const isAll = draw(listed, rows);
  sayWhatThereIs(listed, rows);
  at("more").hidden = isAll;
  drawnAt = Date.now();
}

/** Draw the rows by DAG run, and tell whether there was room for all of them. */
function draw(listed, rows) {
  const ofRun = ({ runKey }) => runKey;
  const whole = waves.groupBy(listed, ofRun);
  const unlisted = waves.groupBy([...migrations.values()].filter((migration) => !isListed(migration)), ofRun);
  const chosen = waves.groupBy(rows, ofRun);
  for (const key of groups.keys()) if (!whole.has(key)) groups.delete(key);
  const bodies = [];
  drawn = [];
  let room = shown;
  for (const [key, members] of chosen) {
    if (room <= 0) break;
    if (!groups.has(key)) groups.set(key, makeGroup(key));
    const { body, wave } = groups.get(key);
    const isWave = whole.get(key).length > 1;
    const isCollapsed = isWave && collapsed.has(key);
    const { most } = groups.get(key);
    const visible = isCollapsed ? [] : members.slice(0, isWave ? most : 1);
    visible.forEach(fillRow);
    const children = visible.map(({ row }) => row);
    if (isWave) {
      const matching = members.length;
      waves.fillWave(wave, { listed: whole.get(key), unlisted: unlisted.get(key) ?? [], matching, isCollapsed, now: now() / 1000 });
      children.unshift(wave.head);
      const left = members.length - visible.length;
      if (left && !isCollapsed) {
        waves.fillMore(wave, SHOWN, left);
        children.push(wave.more);
      }
    }
    parts.arrange(body, children);
    bodies.push(body);
    drawn.push(...visible);
    // A wave that shows more rows must not push others off the page.
    room -= Math.max(Math.min(visible.length, waves.FEW), 1);
  }
  parts.arrange(at("rows"), [at("rows").tHead, ...bodies]);
  return bodies.length === chosen.size;
}

/** Create the part of the table for a DAG run: its rows, and a head for them if it is a wave. */
function makeGroup(key) {
  const toggle = () => {
    if (!collapsed.delete(key)) collapsed.add(key);
    keepChoice();
    show();
  };
  const showMore = () => {
    const group = groups.get(key);
    const last = drawn.findLast(({ runKey }) => runKey === key).row;
    group.most += SHOWN;
    show();
    // Without its button, the focus goes to the first row that has come.
    if (!group.wave.more.isConnected) last.nextElementSibling?.querySelector("a").focus();
  };
  return { body: parts.make("tbody"), wave: waves.makeWave(toggle, showMore), most: waves.FEW };
}

function sayWhatThereIs(listed, rows) {
  const watched = listed.filter((migration) => !hasEnded(migration));
  const ended = listed.filter(hasEnded);
  const summary = [
    tally(watched, "watched now", { ...facts.FAILED, ...facts.CHECKS, ...facts.POLLS }),
    tally(ended, `ended ${RANGES[days]}`, { ...facts.FAILED, ...facts.CHECKS }),
  ];
  const isLoading = (migration) => !migration.failures && (migration.instance === null || stateName(migration) === "loading");
  const loading = [...migrations.values()].filter(isLoading).length + unread;
  const isListing = listedDays !== days;
  if (loading) summary.push(`${format.countText(loading)} still loading`);
  else if (isListing) summary.push("still loading");
  parts.say(at("summary"), summary.join(" · "));
  const failed = listed.filter((migration) => migration.failures).length;
  const [what, whose] = failed === 1 ? ["1 record", "Its row keeps"] : [`${format.countText(failed)} records`, "Their rows keep"];
  parts.sayOrHide(at("unread"), failed ? `${what} could not be read. ${whose} the last known values; retrying automatically.` : null);
  const longest = `Only the latest ${format.countText(cut)} were read: there may be more migrations than are shown, also in a wave.`;
  parts.sayOrHide(at("cut"), cut ? longest : null);
  parts.say(at("count"), `${format.countText(drawn.length)} of ${format.countText(rows.length)} shown.`);
  const isEmpty = listed.length === 0;
  // Show "No migrations" only once everything has been read.
  at("friendly").hidden = rows.length > 0 || (isEmpty && (loading > 0 || isListing));
  at("frame").hidden = rows.length === 0;
  const [headline, line] = isEmpty
    ? ["No migrations", `No migration is being watched, and none has ended ${RANGES[days]}. A new one appears here automatically.`]
    : ["No matches", "No migration matches the search and the filters."];
  parts.say(at("friendly").firstElementChild, headline);
  parts.say(at("friendly").lastElementChild, line);
}

/** Count some migrations, with the number of those that need attention in parentheses. */
function tally(some, what, findings) {
  const among = countFindings(some, findings);
  return `${format.countText(some.length)} ${what}${among.length ? ` (${among.join(", ")})` : ""}`;
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
  parts.say(dag.firstElementChild, facts.dagName(migration));
  dag.firstElementChild.href = parts.addressOf.dag(task);
  parts.say(dag.lastElementChild, task.run);
  dag.lastElementChild.title = task.run;
  parts.say(ofTask.firstElementChild, facts.taskName(migration));
  ofTask.firstElementChild.href = parts.addressOf.task(task);
  parts.say(ofTask.lastElementChild, task.mapIndex < 0 ? "" : (instance?.rendered_map_index ?? `map\u00a0index\u00a0${task.mapIndex}`));
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
  listedAt = listedAllAt = listedDays = null;
  unread = 0;
  groups.clear();
  drawn = [];
  parts.arrange(at("rows"), [at("rows").tHead]);
  for (const select of ["state-filter", "service-filter"]) setOptions(at(select), "", [], () => "");
  for (const part of [at("summary"), at("count"), at("unread"), at("cut"), ...at("friendly").children]) parts.say(part, "");
  for (const part of ["filters", "frame", "below", "friendly", "unread", "cut"]) at(part).hidden = true;
}

const FIELDS = ["search", "show", "state-filter", "service-filter"];

const choose = () => {
  shown = SHOWN;
  for (const group of groups.values()) group.most = waves.FEW;
  keepChoice();
  show();
};

/**
 * The range in days that the address asks for.
 *
 * Airflow shows this page in a frame. From 3.3 on, it copies the frame's address into its own and back; before, a
 * person sees and sends Airflow's address only.
 */
function askedRange() {
  const asked = [window, window.parent].map(({ location }) => new URL(location.href).searchParams.get("days"));
  return Number(asked.find((text) => Object.hasOwn(RANGES, text ?? "")) ?? 1);
}

/** Keep the range in both addresses, so that it can be sent to others. */
function keepRange() {
  for (const { location, history } of new Set([window, window.parent])) {
    const url = new URL(location.href);
    if (days === 1) url.searchParams.delete("days");
    else url.searchParams.set("days", days);
    if (url.href !== location.href) history.replaceState(history.state, "", url); // the state is of Airflow's router
  }
}

function chooseRange() {
  days = Number(at("days").value);
  keepRange();
  forgetOld();
  show();
  readNow();
}

/** Store search, filters and order for a user who opens a task and comes back. */
function keepChoice() {
  const values = Object.fromEntries(FIELDS.map((field) => [field, at(field).value]));
  try {
    sessionStorage.setItem(CHOICE, JSON.stringify({ values, order, collapsed: [...collapsed] }));
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
  if (Array.isArray(kept?.collapsed)) collapsed = new Set(kept.collapsed);
  markOrder();
}

recallChoice();
at("days").value = String(days);
keepRange();
at("days").addEventListener("change", chooseRange);
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
const readNow = keepReading(read, SECONDS, showTrouble);
