// The Migration tab of a task instance.

import { ApiError, get, keepReading, ofTask, stored, xcom } from "./api.js";
import { estimate, merge, readPoints } from "./estimate.js";
import * as format from "./format.js";
import * as parts from "./parts.js";
import { failedPolls, failedText, isWait, patience, purpose, whichOf } from "./wait.js";

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

let instance = null;
let entry = null;
let wait = null;
let points = [];
let reason = null;
let reasonOf = null;

/** The states of a task that want a reason, and how that is headed. */
const WHY = {
  failed: "Why the task failed",
  skipped: "Why the task was skipped",
  up_for_retry: "Why the last try failed",
};

/** Read what is new, show it, and tell whether more is to come. */
async function read() {
  instance = await get(task.mapIndex < 0 ? ofTask(task) : `${ofTask(task)}/${task.mapIndex}`);
  const isOver = instance !== null && format.ENDED.includes(instance.state);
  const found = instance && ((await xcom(task, RECORD)) ?? (isOver ? null : await stored(task, RECORD)));
  // A rescheduled task has no XCom for the moment in which it polls.
  if (found && format.isRecord(found.value) && found.writtenAt !== entry?.writtenAt) {
    entry = found;
    const history = await xcom(task, HISTORY);
    points = merge(merge(history ? readPoints(history.value) : [], points), [pointOf(entry.value)]);
  }
  if (instance) {
    const standing = await xcom(task, WAIT);
    if (isWait(standing?.value)) wait = standing;
    else if (isOver) wait = null; // what is left is of an earlier try
  }
  await readReason(isOver);
  show(isOver);
  return !isOver;
}

function pointOf(record) {
  const at = format.time(record.observed_at) ?? Date.now();
  return [Math.round(at / 1000), format.percentage(record.percent), format.number(record.lag_seconds)];
}

/** Why a task has failed or was skipped: what it has told of its wait, else what its log says. */
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
    if (!(error instanceof ApiError)) throw error; // who may not read the log sees the rest
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

function showWhyNot(isOver) {
  const isSensor = format.SENSORS.includes(instance?.operator);
  const [headline, line] = !instance
    ? ["Nothing to show here", "This task has not run in this DAG run, or it is a mapped task: choose one of its instances."]
    : reason && isSensor
      ? ["The task ended without a record of the migration", reason]
      : isSensor && !isOver
        ? ["No record of the migration yet", `The task is ${format.taskState(instance.state)}. What it sees appears here by itself.`]
        : isSensor
          ? ["The task ended without a record of the migration", "Its log says why."]
          : ["This task watches no migration", "Where a task does, its progress is shown here."];
  parts.say(at("friendly").firstElementChild, headline);
  parts.say(at("friendly").lastElementChild, line);
}

/** Show the record, and the wait also where there is no record, because no answer has come yet. */
function showMigration(isOver) {
  const record = entry?.value ?? {};
  const stateName = entry ? record.state : instance?.state === "failed" ? "task_failed" : "none";
  const state = format.stateOf(stateName);
  const awaited = whichOf(wait?.value);
  const known = record.service ?? awaited.service ?? format.SENSOR_SERVICES[instance?.operator];
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

  announce([`${name}: ${state.label}`, failing() ? failedText(failing()) : null].filter(Boolean).join(". "));
  showError(record);
  at("seen-part").hidden = entry === null;
  parts.say(at("percent"), format.percentText(percent));
  parts.setBar(at("overall"), { percent, label: "Overall progress", tone: state.tone });
  showPhases(Array.isArray(record.phases) ? record.phases.filter(format.isObject) : [], record);
  showObjects(format.isObject(record.objects) ? record.objects : null, state);
  showLag(record, isOver);
  showTrend();
  showTimes();
  parts.setAge(at("seen"), format.time(record.observed_at));
  parts.say(at("task"), format.taskState(instance?.state) + (instance?.try_number > 1 ? `, try ${instance.try_number}` : ""));
  const request = format.text(record.request_id);
  at("request-label").hidden = request === null;
  parts.sayOrHide(at("request"), request);
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
  // The service's own word stands below the name already.
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
  const why = whyItEnded(message ?? code);
  fill("error-task", why);
  parts.say(at("error-task").querySelector("dt"), WHY[instance?.state] ?? "");
  const isBad = !at("error-message").hidden || !at("error-remedy").hidden || instance?.state !== "skipped";
  at("error").className = `note ${isBad ? "bad" : "warn"}`;
  at("error").hidden = at("error-message").hidden && at("error-remedy").hidden && why === null;
}

/** The reason, without what is said of the migration already. */
function whyItEnded(told) {
  const beginning = told?.slice(0, 200).replace(/[. ]+$/, ""); // the reason may be cut
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

function showObjects(objects, state) {
  const total = objects && format.number(objects.total);
  const done = objects && format.number(objects.completed);
  at("objects-part").hidden = !total;
  if (!total) return;
  const percent = done === null ? null : Math.min(Math.floor((done / total) * 1000) / 10, 100);
  parts.say(at("objects-count"), `${format.countText(done ?? 0)} of ${format.countText(total)} done`);
  parts.setBar(at("objects-bar"), { percent, label: "Objects done", tone: percent === 100 ? "good" : state.tone });
  const slowest = Array.isArray(objects.slowest) ? objects.slowest.filter(format.isObject) : [];
  at("objects-slowest").hidden = slowest.length === 0;
  parts.setList(
    at("objects"),
    slowest,
    () => parts.make("li", {}, parts.make("div", {}, parts.make("span"), parts.make("span", { class: "number quiet" })), parts.makeBar()),
    (item, object) => {
      const [line, bar] = item.children;
      const source = format.text(object.source);
      const destination = format.text(object.destination);
      const name = source && destination && source !== destination ? `${source} → ${destination}` : (source ?? destination ?? "Object");
      const part = format.percentage(object.percent);
      parts.say(line.firstElementChild, name);
      parts.say(line.lastElementChild, format.percentText(part));
      parts.setBar(bar, { percent: part, label: name, tone: state.tone });
    },
  );
}

function showLag(record, isOver) {
  const lag = format.number(record.lag_seconds);
  const checkpoint = format.time(record.checkpoint);
  at("lag-part").hidden = lag === null && checkpoint === null;
  parts.say(at("lag"), lag === null ? "not known" : format.duration(lag));
  at("checkpoint").hidden = checkpoint === null;
  // What nobody watches any more does not fall behind.
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

/** Say what goes by the clock: what is expected, what is waited for, for how long polls fail. */
function showTimes() {
  const now = Date.now() / 1000;
  const count = failing();
  parts.sayOrHide(at("purpose"), wait && isWaiting() && !wait.value.outcome ? purpose(wait.value, now) : null);
  at("polls").hidden = count === 0;
  if (count) {
    parts.say(at("polls-count"), failedText(count));
    parts.sayOrHide(at("polls-error"), format.text(wait.value.last_error));
    parts.say(at("polls-patience"), patience(wait.value, now));
    const seen = entry ? "what is shown below was seen before" : "nothing has been seen of it yet";
    parts.say(at("polls-meaning"), `That does not say that the migration has failed: ${seen}.`);
  }
  // Of what nobody could ask, nothing is expected.
  parts.say(at("estimate"), entry && isWaiting() && !count ? expectation(now) : "");
}

function expectation(now) {
  // Where it is asked less and less often, a record that has stood for long may be that of the last poll.
  const interval = wait?.value.exponential_backoff === true ? Infinity : (format.number(wait?.value.poke_interval) ?? undefined);
  const { kind, seconds } = estimate(entry.value, points, now, interval);
  const isCopied = format.percentage(entry.value.percent) === 100;
  return {
    bulk: () => `${format.roughly(seconds)} left`,
    sync: () => `caught up in ${format.roughly(seconds)}`,
    behind: () => "falling behind: the lag grows",
    steady: () => "the lag stays as it is",
    still: () => `not moving for ${format.duration(seconds)}`,
    unclear: () => `${isCopied ? "when it is caught up" : "time left"}: not enough observations yet`,
    none: () => "",
  }[kind]();
}

function showTrouble(error) {
  const hasShown = !at("migration").hidden;
  at("trouble").hidden = error === null;
  if (error === null) return;
  main.removeAttribute("aria-busy");
  at("friendly").hidden = true;
  // What Airflow has refused must not stay on the screen.
  if (!error.mayPass) at("migration").hidden = true;
  parts.say(at("trouble"), error.mayPass ? `${error.message} ${hasShown ? "What is below was seen before; trying" : "Trying"} again by itself.` : error.message);
}

parts.followLinksOutside();
parts.tickAges(() => at("migration").hidden || showTimes());
keepReading(read, SECONDS, showTrouble);
