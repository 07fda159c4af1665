// The Migration tab of a task instance.

import { ApiError, get, keepReading, ofTask, stored, xcom } from "./api.js";
import { estimate, merge, readPoints } from "./estimate.js";
import * as format from "./format.js";
import * as parts from "./parts.js";

const SECONDS = 5;
const FEWEST_POINTS = 3; // to draw a line through
const RECORD = "migration_progress";
const HISTORY = "migration_history";

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
let points = [];
let reason = null;
let reasonOf = null;

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
  await readReason(isOver);
  show(isOver);
  return !isOver;
}

function pointOf(record) {
  const at = format.time(record.observed_at) ?? Date.now();
  return [Math.round(at / 1000), format.percentage(record.percent), format.number(record.lag_seconds)];
}

/** Where a task has failed, its log says why: also where no answer of the service came. */
async function readReason(isOver) {
  const attempt = instance && ["failed", "skipped", "up_for_retry"].includes(instance.state) ? instance.try_number : null;
  if (attempt === null || `${attempt}` === reasonOf) {
    if (attempt === null) reason = reasonOf = null;
    return;
  }
  try {
    const log = await get(`${ofTask(task)}/logs/${attempt}`, { map_index: task.mapIndex });
    const told = (Array.isArray(log?.content) ? log.content : []).flatMap((line) => line?.error_detail ?? []);
    reason = format.text(told.findLast((detail) => format.text(detail?.exc_value))?.exc_value);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error; // who may not read the log sees the rest
    reason = null;
  }
  if (isOver) reasonOf = `${attempt}`;
}

function show(isOver) {
  main.removeAttribute("aria-busy");
  at("migration").hidden = entry === null;
  at("friendly").hidden = entry !== null;
  if (entry) showRecord(entry.value, isOver);
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

function showRecord(record, isOver) {
  const state = format.stateOf(record.state);
  const service = format.serviceName(record.service);
  const id = format.text(record.migration_id);
  const name = format.text(record.name) ?? id ?? "Migration";
  const percent = format.percentage(record.percent);
  parts.say(at("name"), name);
  parts.setBadge(at("state"), record.state);
  parts.say(at("identity"), [service, id === name ? null : id, format.text(record.service_status)].filter(Boolean).join(" · "));
  announce(`${name}: ${state.label}`);

  const address = parts.webAddress(record.console_url);
  at("console").hidden = address === null;
  if (address) {
    at("console").href = address;
    at("console").target = "_blank";
    at("console").rel = "noopener noreferrer";
    parts.say(at("console").firstElementChild, `Open in ${service}`);
  }

  showError(record);
  parts.say(at("percent"), format.percentText(percent));
  parts.setBar(at("overall"), { percent, label: "Overall progress", tone: state.tone });
  showPhases(Array.isArray(record.phases) ? record.phases.filter(format.isObject) : []);
  showObjects(format.isObject(record.objects) ? record.objects : null, state);
  showLag(record, isOver);
  showTrend();
  showEstimate();
  parts.setAge(at("seen"), format.time(record.observed_at));
  parts.say(at("task"), format.taskState(instance?.state) + (instance?.try_number > 1 ? `, try ${instance.try_number}` : ""));
  parts.say(at("request"), format.text(record.request_id) ?? "–");
}

function announce(line) {
  parts.say(at("announcement"), line);
}

function showError(record) {
  const error = format.isObject(record.error) ? record.error : {};
  const code = format.text(error.code);
  const message = format.text(error.message);
  const what = message && code && !message.includes(code) ? `${message} (${code})` : (message ?? code);
  const fill = (id, value) => parts.sayOrHide(at(id), value, at(id).querySelector("dd"));
  fill("error-message", what);
  fill("error-remedy", format.text(error.remedy));
  fill("error-task", reason && !(message && reason.includes(message)) ? reason : null);
  at("error").hidden = !what && !format.text(error.remedy) && at("error-task").hidden;
}

function showPhases(phases) {
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
      const { label, tone } = format.stateOf(phase.state);
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
      const isToldAbove = error !== null && format.text(entry.value.error?.message)?.includes(error);
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
  drawIn(at("lag-spark"), known, top, (over) => `Lag over the last ${over}: from ${format.duration(known[0][1])} to ${format.duration(known.at(-1)[1])}`);
}

function showTrend() {
  const hasBegun = points.some((point) => point[1] > 0);
  const known = hasBegun ? points.filter((point) => point[1] !== null).map((point) => [point[0], point[1]]) : [];
  at("percent-part").hidden = !drawIn(at("percent-spark"), known, 100, (over) => `Progress over the last ${over}: from ${format.percentText(known[0][1])} to ${format.percentText(known.at(-1)[1])}`);
}

function drawIn(element, known, top, label) {
  const isEnough = known.length >= FEWEST_POINTS;
  const over = isEnough ? format.duration(known.at(-1)[0] - known[0][0]) : "";
  const spark = isEnough && parts.sparkline(known, top, label(over));
  element.replaceChildren(...(spark ? [spark, parts.make("p", { class: "quiet", "aria-hidden": "true" }, `over ${over}`)] : []));
  return Boolean(spark);
}

function showEstimate() {
  if (!entry) return;
  const { kind, seconds } = estimate(entry.value, points, Date.now() / 1000);
  const isWaiting = !format.ENDED.includes(instance?.state);
  const line = {
    bulk: () => `${format.roughly(seconds)} left`,
    sync: () => `in sync in ${format.roughly(seconds)}`,
    behind: () => "falling behind: the lag grows",
    steady: () => "the lag stays as it is",
    still: () => `not moving for ${format.duration(seconds)}`,
    unclear: () => "time left: not enough observations yet",
    none: () => "",
  }[kind]();
  parts.say(at("estimate"), isWaiting ? line : "");
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
parts.tickAges(showEstimate);
keepReading(read, SECONDS, showTrouble);
