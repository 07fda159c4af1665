// Waves: the migrations that one DAG run watches, under a head that sums them up.

import { estimate } from "./estimate.js";
import * as facts from "./facts.js";
import * as format from "./format.js";
import { make, say, sayOrHide, setBadge, setList } from "./parts.js";

export const FEW = 20; // rows of a wave before "Show more"

const COLUMNS = 7; // of the page's table
const DONE = ["caught_up", "succeeded", "partially_succeeded", "failed", "cancelled", "task_failed"];

/** Group migrations: a map from the key of a group, in the order of each group's first migration. */
export function groupBy(migrations, keyOf) {
  const groups = new Map();
  for (const migration of migrations) {
    const key = keyOf(migration);
    const group = groups.get(key);
    if (group) group.push(migration);
    else groups.set(key, [migration]);
  }
  return groups;
}

/** The worst lag among the migrations that are watched: `{ seconds, name }`, or null if none has a lag. */
export function worstLag(migrations) {
  let worst = null;
  for (const migration of migrations) {
    const seconds = facts.hasEnded(migration) ? null : format.number(migration.record?.lag_seconds);
    if (seconds !== null && seconds > (worst?.seconds ?? -Infinity)) worst = { seconds, name: facts.nameOf(migration) };
  }
  return worst;
}

/**
 * The expected end of the last copy among the migrations that are watched: `{ at, unknown }`.
 *
 * `at` (epoch seconds) is the latest end among the migrations with a time left, or null; `unknown` is the number of
 * those that are not copied yet and have no time left, so that the end may be later. A migration with a lag has copied
 * its data, unless its service still gives a time left.
 */
export function expectedEnd(migrations, now) {
  let at = null;
  let unknown = 0;
  for (const migration of migrations) {
    const { record } = migration;
    if (facts.hasEnded(migration) || DONE.includes(facts.stateName(migration))) continue;
    const { kind, seconds } = record ? estimate(record, [], now) : { kind: "unclear" };
    if (kind === "bulk") at = Math.max(at ?? -Infinity, now + seconds);
    else if (format.number(record?.lag_seconds) === null) unknown += 1;
  }
  return { at, unknown };
}

/**
 * The number of a run's migrations that are known to exist and are not listed: instances of mapped tasks with a gap in
 * their map indexes, and tasks without a record of their end.
 */
export function countUnlisted(listed, unlisted) {
  const tasks = groupBy([...listed, ...unlisted], ({ task }) => task.task);
  let known = 0;
  for (const instances of tasks.values()) {
    known += Math.max(instances.length, ...instances.map(({ task }) => task.mapIndex + 1));
  }
  return known - listed.length;
}

/** Sum up a wave: the texts of its head. */
function summarize(listed, unlisted, matching, now) {
  const many = format.countText(listed.length);
  const watched = listed.filter((migration) => !facts.hasEnded(migration)).length;
  const lag = worstLag(listed);
  const rest = countUnlisted(listed, unlisted);
  const isTask = (state) => ({ instance }) => instance?.state === state;
  const findings = {
    "with a failed task": (migration) => isTask("failed")(migration) && !["failed", "task_failed"].includes(facts.stateName(migration)),
    "with a skipped task": isTask("skipped"),
    ...facts.CHECKS,
    ...facts.POLLS,
    "not readable now": ({ failures }) => failures,
  };
  return {
    size: matching === listed.length ? `${many} migrations` : `${format.countText(matching)} of ${many} migrations match`,
    watched: watched === 0 ? "none watched now" : `${format.countText(watched)} watched now`,
    states: facts.countBy(listed, facts.stateName),
    lag: lag === null ? null : `Worst lag ${format.duration(lag.seconds)} (${lag.name})`,
    end: endText(expectedEnd(listed, now), now),
    findings: facts.countFindings(listed, findings).join(", ") || null,
    rest: rest ? `${format.countText(rest)} more not listed` : null,
  };
}

/** Say when the last migration will be copied, or null if none is left to copy. */
export function endText({ at, unknown }, now) {
  if (at === null && unknown === 0) return null;
  const silent = `${format.countText(unknown)} without a time left`;
  if (at === null) return `End of the copy unknown: ${silent}`;
  const end = `Existing data copied by ${format.minute(at * 1000)} (in ${format.roughly(at - now)})`;
  return unknown ? `${end} at the earliest: ${silent}` : end;
}

const WHY_NOT_LISTED = "These migrations ended before the range, ended without a record, or have not been queued yet.";

/** Create the rows around a wave's own: its head, and the one that shows more of it. */
export function makeWave(onToggle, onMore) {
  const toggle = make("button", { type: "button", "aria-expanded": "true" }, make("span", { class: "name" }), " ", make("span", { class: "small" }));
  toggle.addEventListener("click", onToggle);
  const more = make("button", { type: "button", class: "button" });
  more.addEventListener("click", onMore);
  const rest = make("span", { class: "quiet", title: WHY_NOT_LISTED });
  const sums = make("div", { class: "sums" }, make("span", { class: "quiet" }), make("span"), make("span"), make("span", { class: "warn" }), rest);
  const inside = make("div", { class: "inside" }, toggle, make("div", { class: "states" }), sums);
  return {
    head: make("tr", { class: "wave" }, make("th", { scope: "rowgroup", colspan: COLUMNS }, inside)),
    more: make("tr", { class: "more" }, make("td", { colspan: COLUMNS }, make("div", { class: "inside" }, more))),
    version: null,
  };
}

/**
 * Fill a wave's head, if something has changed since.
 *
 * `listed` are the migrations of the run, `unlisted` those of its tasks that have nothing to show, `matching` is the
 * number of the listed ones that the filters let pass; `now` is in epoch seconds.
 */
export function fillWave(wave, { listed, unlisted, matching, isCollapsed, now }) {
  const said = summarize(listed, unlisted, matching, now);
  const version = JSON.stringify([said, isCollapsed]);
  if (wave.version === version) return;
  wave.version = version;
  const cell = wave.head.firstElementChild;
  const [toggle, states, sums] = cell.firstElementChild.children;
  const [first] = listed;
  toggle.setAttribute("aria-expanded", String(!isCollapsed));
  say(toggle.firstElementChild, facts.dagName(first));
  say(toggle.lastElementChild, first.task.run);
  cell.abbr = facts.dagName(first); // what a screen reader repeats for each row
  setList(states, said.states, () => make("span"), (badge, [state, number]) => {
    setBadge(badge, state, format.countText(number));
  });
  const [size, lag, end, findings, rest] = sums.children;
  say(size, `${said.size}, ${said.watched}`);
  for (const [part, text] of [[lag, said.lag], [end, said.end], [findings, said.findings], [rest, said.rest]]) sayOrHide(part, text);
}

/** Say in a wave's last row how many more there are. */
export function fillMore(wave, step, left) {
  const ofAll = left > step ? ` of ${format.countText(left)}` : "";
  say(wave.more.querySelector("button"), `Show ${format.countText(Math.min(step, left))} more${ofAll}`);
}
