// The Migration tab of a task instance.

import { ApiError, get, keepReading, now, ofTask, stored, troubleText, xcom } from "./api.js";
import { estimate, merge, readPoints } from "./estimate.js";
import * as format from "./format.js";
import { FAILED, failedLine, objectsOf, SLOWEST } from "./objects.js";
import * as parts from "./parts.js";
import { fileName, saveCsv, showTable, sortedRows } from "./table.js";
import { COLUMNS, dataCheck, dataCheckWord } from "./verification.js";
import { failedPolls, failedText, isOfEarlierTry, isWait, patience, purpose, reachedAt, warnings, whichOf, whyNobodyPolls } from "./wait.js";

const SECONDS = 5;
const FEWEST_POINTS = 3; // to draw a line through
const RECORD = "migration_progress";
const HISTORY = "migration_history";
const WAIT = "migration_wait";

const query = new URLSearchParams(location.search);
const index = query.get("map_index");
const task = {
  dag: query.get("dag_id") ?? "",
  run: query.get("run_id") ?? "",
  task: query.get("task_id") ?? "",
  // Airflow leaves the placeholder as it is where a task is not mapped.
  mapIndex: /^\d+$/.test(index ?? "") ? Number(index) : -1,
};

const at = (id) => document.getElementById(id);
const main = document.querySelector("main");
const blank = at("migration").cloneNode(true); // the initial markup

let instance = null;
let entry = null;
let isElsewhere = false;
let wait = null;
let points = [];
let reason = null;
let reasonOf = null;

function forget() {
  instance = entry = wait = reason = reasonOf = null;
  isElsewhere = false;
  points = [];
}

/** Headings of the reason, for the task states that need one. */
const WHY = {
  failed: "Why the task failed",
  skipped: "Why the task was skipped",
  up_for_retry: "Why the last try failed",
};

/** Refresh the page; return whether more is to come. */
async function read() {
  const before = instance?.try_number;
  const found = await get(task.mapIndex < 0 ? ofTask(task) : `${ofTask(task)}/${task.mapIndex}`);
  if (found?.try_number !== before) forget(); // data of an earlier try does not apply to this one
  instance = found;
  const isOver = instance !== null && format.ENDED.includes(instance.state);
  if (instance) {
    await readRecord(isOver);
    const standing = await xcom(task, WAIT);
    if (isWait(standing?.value)) wait = standing;
    else if (isOver) wait = null; // the remaining entry is from an earlier try
  }
  await readReason(isOver);
  show(isOver);
  return !isOver;
}

async function readRecord(isOver) {
  let found = await xcom(task, RECORD);
  isElsewhere = format.isElsewhere(found);
  // A rescheduled task has no XCom while it polls.
  if (!format.isRecord(found?.value) && !isOver) found = await stored(task, RECORD);
  if (!format.isRecord(found?.value) || found.writtenAt === entry?.writtenAt) return;
  const history = await xcom(task, HISTORY);
  entry = found;
  points = merge(merge(history ? readPoints(history.value) : [], points), [pointOf(entry.value)]);
}

function pointOf(record) {
  const at = format.time(record.observed_at) ?? now();
  return [Math.round(at / 1000), format.percentage(record.percent), format.number(record.lag_seconds)];
}

/** Read the reason why a task failed or was skipped: from its wait entry, else from its log. */
async function readReason(isOver) {
  const isWanted = instance !== null && Object.hasOwn(WHY, instance.state);
  const hasTold = ["fail", "skip", "timeout", "poll_error"].includes(wait?.value.outcome);
  const told = isWanted && hasTold ? format.text(wait.value.reason) : null;
  if (!isWanted || told !== null) {
    reason = told;
    reasonOf = null;
    return;
  }
  const attempt = instance.try_number;
  if (attempt === reasonOf) return;
  try {
    const log = await get(`${ofTask(task)}/logs/${attempt}`, { map_index: task.mapIndex });
    const details = (Array.isArray(log?.content) ? log.content : []).flatMap((line) => line?.error_detail ?? []);
    reason = format.text(details.findLast((detail) => format.text(detail?.exc_value))?.exc_value);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error; // users without permission for the log see the rest
    reason = null;
  }
  if (isOver) reasonOf = attempt;
}

function show(isOver) {
  main.removeAttribute("aria-busy");
  const hasSomething = entry !== null || wait !== null;
  at("migration").hidden = !hasSomething;
  at("friendly").hidden = hasSomething;
  if (hasSomething) showMigration(isOver);
  else showWhyNot(isOver);
}

const ELSEWHERE =
  "XCom holds a reference of a custom XCom backend, which this page cannot read: the record is in that backend's storage.";

function showWhyNot(isOver) {
  const isSensor = isElsewhere || format.SENSORS.includes(instance?.operator);
  const [headline, line] = !instance
    ? ["Nothing to show here", "This task has not run in this DAG run, or it is a mapped task: choose one of its instances."]
    : isElsewhere
      ? ["The record is not readable here", [ELSEWHERE, reason].filter(Boolean).join(" ")]
      : reason && isSensor
      ? ["The task ended without a record of the migration", reason]
      : isSensor && !isOver
        ? ["No record of the migration yet", `The task is ${format.taskState(instance.state)}. The first record appears here automatically.`]
        : isSensor
          ? ["The task ended without a record of the migration", "Its log says why."]
          : ["This task does not watch a migration", "Migration sensors show their progress here."];
  parts.say(at("friendly").firstElementChild, headline);
  parts.say(at("friendly").lastElementChild, line);
}

/** Show the record and the wait; the wait also before the first record. */
function showMigration(isOver) {
  const record = entry?.value ?? {};
  const without = instance?.state === "failed" ? "task_failed" : isElsewhere ? "elsewhere" : "none";
  const stateName = entry ? format.stateOfRecord(record) : without;
  const state = format.stateOf(stateName);
  const awaited = whichOf(wait?.value);
  const known = record.service ?? awaited.service ?? format.serviceOfSensor(instance?.operator);
  const service = entry || known ? format.serviceName(known) : format.text(instance?.operator);
  const id = format.text(record.migration_id) ?? awaited.id;
  const name = format.text(record.name) ?? id ?? (entry ? "Migration" : task.task);
  const percent = format.percentage(record.percent);
  parts.say(at("name"), name);
  parts.setBadge(at("state"), stateName);
  parts.say(at("identity"), [service, id === name ? null : id, format.text(record.service_status)].filter(Boolean).join(" · "));

  const address = parts.webAddress(record.console_url);
  at("console").hidden = address === null;
  if (address) {
    at("console").href = address;
    at("console").target = "_blank";
    at("console").rel = "noopener noreferrer";
    parts.say(at("console").firstElementChild, `Open in ${service}`);
  }

  const word = dataCheckWord(record);
  parts.sayOrHide(at("check-word"), word);
  announce([`${name}: ${state.label}`, word, failing() ? failedText(failing()) : null].filter(Boolean).join(". "));
  showError(record);
  parts.sayOrHide(at("elsewhere"), isElsewhere && entry === null ? ELSEWHERE : null);
  const told = warnings(wait?.value);
  at("warnings").hidden = told.length === 0;
  parts.setList(at("warnings-list"), told, () => parts.make("li"), parts.say);
  parts.sayOrHide(at("standing"), standing(record, isOver));
  at("seen-part").hidden = entry === null;
  parts.say(at("percent"), format.percentText(percent));
  parts.setBar(at("overall"), { percent, label: "Overall progress", tone: state.tone });
  showPhases(Array.isArray(record.phases) ? record.phases.filter(format.isObject) : [], record);
  showDataCheck(dataCheck(record, isOver), fileName([format.text(known), id, "data-check"], "csv"));
  showObjects(format.isObject(record.objects) ? record.objects : null, state, (kind) => fileName([format.text(known), id, kind], "csv"));
  showLag(record, isOver);
  showTrend();
  showTimes();
  parts.setAge(at("seen"), format.time(record.observed_at));
  parts.say(at("task"), format.taskState(instance?.state) + (instance?.try_number > 1 ? `, try ${instance.try_number}` : ""));
  const facts = {
    speed: isOver ? null : format.speedText(record.throughput),
    retries: isOver ? null : format.retriesText(record.retrying),
    request: format.text(record.request_id),
  };
  for (const [name, value] of Object.entries(facts)) {
    at(`${name}-label`).hidden = value === null;
    parts.sayOrHide(at(name), value);
  }
}

const STANDS = ["succeeded", "partially_succeeded", "failed", "cancelled"]; // final states of a migration

/** Describe how current the record is: it outlives the polls that wrote it. */
function standing(record, isOver) {
  const reached = reachedAt(wait, instance);
  if (reached !== null) return `Target reached at ${format.clock(reached, now())}; the task resumes when Airflow runs it.`;
  if (isOfEarlierTry(wait, instance)) return `The values below are from an earlier try; the task is ${format.taskState(instance.state)}.`;
  if (entry === null) return null;
  if (isOver && !STANDS.includes(record.state)) {
    return "The task has ended, so the migration is no longer watched. The values below are the last ones read.";
  }
  return !isOver && format.isIdle(instance?.state) ? `The task is ${format.taskState(instance?.state)}: it polls again when Airflow runs it.` : null;
}

const isWaiting = () => !format.ENDED.includes(instance?.state);
const failing = () => (isWaiting() ? failedPolls(wait, entry?.writtenAt) : 0);

function announce(line) {
  parts.say(at("announcement"), line);
}

function showError(record) {
  const error = format.isObject(record.error) ? record.error : {};
  const code = format.text(error.code);
  const message = format.text(error.message);
  // The service's own status is already shown below the name.
  const isNew = code && code !== format.text(record.service_status) && !message?.includes(code);
  const { beginning, items } = format.messageParts(message ?? "");
  const first = [items.length ? format.phaseName(beginning) : beginning || null, isNew ? (message ? `(${code})` : code) : null].filter(Boolean).join(" ");
  at("error-message").hidden = !first && !items.length;
  parts.sayOrHide(at("error-beginning"), first || null);
  at("error-items").hidden = !items.length;
  parts.setList(
    at("error-items"),
    items,
    () => parts.make("li", {}, parts.make("span"), parts.make("span", { class: "repair" })),
    (item, { what, repair }) => {
      parts.say(item.firstElementChild, what);
      parts.sayOrHide(item.lastElementChild, repair === null ? null : `Repair: ${repair}`);
    },
  );
  const fill = (id, value) => parts.sayOrHide(at(id), value, at(id).querySelector("dd"));
  fill("error-remedy", format.text(error.remedy));
  const help = parts.webAddress(error.help_url);
  at("error-help").hidden = help === null;
  const link = at("error-help").querySelector("a");
  parts.say(link, help ?? "");
  if (help === null) link.removeAttribute("href");
  else link.href = help;
  const why = whyItEnded(message ?? code);
  fill("error-task", why);
  parts.say(at("error-task").querySelector("dt"), format.lookUp(WHY, instance?.state) ?? "");
  const isBad = !at("error-message").hidden || !at("error-remedy").hidden || instance?.state !== "skipped";
  at("error").className = `note ${isBad ? "bad" : "warn"}`;
  at("error").hidden = at("error-message").hidden && at("error-remedy").hidden && why === null;
}

/** The reason without the parts already shown for the migration. */
function whyItEnded(told) {
  const beginning = told?.slice(0, 200).replace(/[. ]+$/, ""); // the reason may be truncated
  if (!reason || !beginning || !reason.includes(beginning)) return reason;
  const cause = reason.split(": ")[0];
  return cause === "The migration failed" || cause.includes(beginning) ? null : `${cause}.`;
}

function showPhases(phases, record) {
  at("phases-part").hidden = phases.length === 0;
  parts.setList(
    at("phases"),
    phases,
    () => {
      const item = parts.make("li", {}, parts.make("div", {}, parts.make("span"), parts.make("span")), parts.makeBar());
      item.append(parts.make("p", { class: "trouble" }));
      return item;
    },
    (item, phase) => {
      const [line, bar, trouble] = item.children;
      const name = format.phaseName(phase.name);
      const { label, tone } = format.phaseState(phase, record.state);
      const percent = format.percentage(phase.percent);
      parts.say(line.firstElementChild, name);
      parts.say(line.lastElementChild, [label, phase.state === "pending" ? null : amountOf(phase, percent)].filter(Boolean).join(" · "));
      line.lastElementChild.className = `word number ${tone}`;
      const isDone = ["succeeded", "caught_up"].includes(phase.state);
      parts.setBar(bar, {
        percent: percent ?? (isDone ? 100 : null),
        label: name,
        tone,
        valueText: line.lastElementChild.textContent,
      });
      const error = format.text(phase.error);
      const isToldAbove = error !== null && format.text(record.error?.message)?.includes(error);
      parts.sayOrHide(trouble, isToldAbove ? null : error);
    },
  );
}

function amountOf(phase, percent) {
  const done = format.number(phase.done);
  const total = format.number(phase.total);
  const count = done === null ? null : format.countText(done) + (total === null ? " done" : ` of ${format.countText(total)}`);
  return [percent === null ? null : format.percentText(percent), count].filter(Boolean).join(" · ");
}

function showDataCheck(check, file) {
  at("check").hidden = check === null;
  if (check === null) return;
  const { verdict, tone, percent, isRunning, trouble, compared, checkedAt, worst, list } = check;
  parts.say(at("check-verdict"), verdict);
  at("check-verdict").className = `verdict ${tone}`;
  at("check-bar").hidden = !isRunning;
  if (isRunning) parts.setBar(at("check-bar"), { percent, label: "Data check", tone, valueText: verdict });
  parts.sayOrHide(at("check-trouble"), trouble);
  parts.sayOrHide(at("check-compared"), compared);
  const [clock, age] = at("check-time").children;
  at("check-time").hidden = checkedAt === null;
  parts.say(clock, checkedAt === null ? "" : `Checked at ${format.clock(checkedAt, now())}`);
  // The clocks of service and Airflow may differ; a time in the future has no age.
  age.hidden = checkedAt === null || checkedAt > now() + SECONDS * 1000;
  if (!age.hidden) parts.setAge(age, checkedAt, "· ");
  at("check-tables").hidden = worst.length === 0;
  parts.say(at("check-list"), list);
  showTable(at("check-worst"), COLUMNS, worst);
  at("check-csv").onclick = () => saveCsv(file, COLUMNS, sortedRows(at("check-worst")));
}

function showObjects(objects, state, fileOf) {
  const total = objects && format.number(objects.total);
  const done = objects && format.number(objects.completed);
  at("objects-part").hidden = !total;
  if (!total) return;
  const percent = done === null ? null : Math.min(Math.floor((done / total) * 1000) / 10, 100);
  parts.say(at("objects-count"), `${format.countText(done ?? 0)} of ${format.countText(total)} done`);
  parts.setBar(at("objects-bar"), { percent, label: "Objects done", tone: percent === 100 ? "good" : state.tone });
  const failed = objectsOf(objects.failed);
  parts.say(at("objects-failed-list"), failedLine(failed.length));
  showObjectTable(at("objects-failed"), FAILED, failed, fileOf("failed-objects"));
  showObjectTable(at("objects-slowest"), SLOWEST, objectsOf(objects.slowest), fileOf("slowest-objects"));
}

function showObjectTable(part, columns, rows, file) {
  part.hidden = rows.length === 0;
  const [place, button] = [part.querySelector(".frame"), part.querySelector("button")];
  showTable(place, columns, rows);
  button.onclick = () => saveCsv(file, columns, sortedRows(place));
}

function showLag(record, isOver) {
  const lag = format.number(record.lag_seconds);
  const checkpoint = format.time(record.checkpoint);
  at("lag-part").hidden = lag === null && checkpoint === null;
  parts.say(at("lag"), lag === null ? "not known" : format.duration(lag));
  at("checkpoint").hidden = checkpoint === null;
  // Without a watching task the age of the checkpoint is meaningless.
  if (isOver) parts.say(at("checkpoint"), checkpoint === null ? "" : `Changes were applied up to ${format.clock(checkpoint)}`);
  else if (checkpoint !== null) parts.setAge(at("checkpoint"), checkpoint, "Changes are applied up to ");
  const known = points.filter((point) => point[2] !== null).map((point) => [point[0], point[2]]);
  const top = Math.max(...known.map((point) => point[1]), 1);
  drawIn(at("lag-spark"), known, top, format.duration, "Lag");
}

function showTrend() {
  const hasBegun = points.some((point) => point[1] > 0);
  const known = hasBegun ? points.filter((point) => point[1] !== null).map((point) => [point[0], point[1]]) : [];
  at("percent-part").hidden = !drawIn(at("percent-spark"), known, 100, format.percentText, "Progress");
}

function drawIn(element, known, top, said, what) {
  const isEnough = known.length >= FEWEST_POINTS;
  const course = isEnough ? `from ${said(known[0][1])} to ${said(known.at(-1)[1])} in ${format.duration(known.at(-1)[0] - known[0][0])}` : "";
  const chart = isEnough && parts.chart(known, top, said, `${what} ${course}`);
  element.replaceChildren(...(chart ? [chart, parts.make("p", { class: "quiet", "aria-hidden": "true" }, course)] : []));
  return Boolean(chart);
}

/** Update the time-dependent texts: estimate, target, failing polls. */
function showTimes() {
  const seconds = now() / 1000;
  const count = failing();
  const idle = whyNobodyPolls(wait, instance, seconds);
  parts.sayOrHide(at("unattended"), idle);
  parts.sayOrHide(at("purpose"), wait && isWaiting() && !wait.value.outcome ? purpose(wait.value, seconds) : null);
  at("polls").hidden = count === 0;
  if (count) {
    parts.say(at("polls-count"), failedText(count));
    parts.sayOrHide(at("polls-error"), format.text(wait.value.last_error));
    parts.say(at("polls-patience"), patience(wait.value, seconds));
    const seen = entry ? "the values below are from the last successful poll" : "no poll has succeeded yet";
    parts.say(at("polls-meaning"), `A failed poll is not a failed migration: ${seen}.`);
  }
  // Without polls there is no estimate.
  const isPolled = isWaiting() && !count && !idle && !wait?.value.outcome && !format.isIdle(instance?.state);
  parts.say(at("estimate"), entry && isPolled ? expectation(seconds) : "");
}

function expectation(present) {
  // With exponential backoff even an old record may be from the last poll.
  const interval = wait?.value.exponential_backoff === true ? Infinity : (format.number(wait?.value.poke_interval) ?? undefined);
  const { kind, seconds, source } = estimate(entry.value, points, present, interval);
  const isCopied = format.percentage(entry.value.percent) === 100;
  return {
    bulk: () => `${format.roughly(seconds)} left (${source === "service" ? "the service's figure" : "estimate"})`,
    sync: () => `caught up in ${format.roughly(seconds)}`,
    behind: () => "falling behind: the lag grows",
    steady: () => "the lag stays as it is",
    still: () => `no progress for ${format.duration(seconds)}`,
    unclear: () => `${isCopied ? "time until caught up" : "time left"}: not enough observations yet`,
    none: () => "",
  }[kind]();
}

function showTrouble(state) {
  const trouble = troubleText(state);
  parts.sayOrHide(at("trouble"), trouble);
  if (trouble === null) return;
  main.removeAttribute("aria-busy");
  // Remove what Airflow now refuses, from the screen and for screen readers.
  if (state.error && !state.error.mayPass) {
    forget();
    at("migration").replaceWith(blank.cloneNode(true));
    for (const part of at("friendly").children) parts.say(part, "");
    announce(trouble);
  }
  if (state.readAt === null) at("friendly").hidden = true;
}

parts.followLinksOutside();
parts.tickAges(() => at("migration").hidden || showTimes());
keepReading(read, SECONDS, showTrouble);
