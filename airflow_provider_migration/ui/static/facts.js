// What is known of a migration on the Migrations page: its state, its names, its findings.
//
// A migration has its `task`, Airflow's `instance` of it, its `record` and its `wait`, each null until it is read.

import { now } from "./api.js";
import * as format from "./format.js";
import { dataCheckWord } from "./verification.js";
import { failedPolls, whichOf, whyNobodyPolls } from "./wait.js";

export const hasEnded = (migration) => format.ENDED.includes(migration.instance?.state);

// A task that was skipped, or marked success by hand, has nothing to show without a record.
export const isListed = (migration) => {
  const { instance, record, writtenAt, failures } = migration;
  if (failures) return true;
  return instance !== null && (record !== null || writtenAt !== null || !["success", "skipped"].includes(instance.state));
};

export function stateName(migration) {
  const { record, instance, isElsewhere, hasAnswer, failures } = migration;
  if (record) return format.stateOfRecord(record);
  if (instance?.state === "failed") return "task_failed";
  if (isElsewhere) return "elsewhere";
  if (hasAnswer || (instance && (instance.start_date ?? null) === null)) return "none";
  return failures ? "not_read" : "loading";
}

export const serviceOf = ({ record, wait, instance }) =>
  format.text(record?.service) ?? whichOf(wait?.value).service ?? format.serviceOfSensor(instance?.operator) ?? undefined;
export const idOf = ({ record, wait }) => format.text(record?.migration_id) ?? whichOf(wait?.value).id;
export const nameOf = (migration) => format.text(migration.record?.name) ?? idOf(migration) ?? migration.task.task;
export const dagName = ({ instance, task }) => format.text(instance?.dag_display_name) ?? task.dag;
export const taskName = ({ instance, task }) => format.text(instance?.task_display_name) ?? task.task;

export const failing = (migration) => (hasEnded(migration) ? 0 : failedPolls(migration.wait, migration.writtenAt));
export const unattended = ({ wait, instance }) => whyNobodyPolls(wait, instance, now() / 1000);

export const rankOf = (migration) =>
  Math.min(
    format.stateOf(stateName(migration)).rank,
    dataCheckWord(migration.record) === null ? Infinity : format.stateOf("partially_succeeded").rank,
    failing(migration) || unattended(migration) || migration.failures ? format.stateOf("unknown").rank : Infinity,
  ) - (migration.instance?.state === "failed" ? 1 : 0);

const isChecked = (state) => (migration) => migration.record?.verification?.state === state;

export const FAILED = { failed: (migration) => stateName(migration) === "failed" || migration.instance?.state === "failed" };
export const CHECKS = { "with data that differs": isChecked("inconsistent"), "with a failed data check": isChecked("failed") };
export const POLLS = { "with failing polls": failing, "not polled": unattended };

/** Count the findings among some migrations: `["2 with failing polls"]`; findings of no migration are left out. */
export function countFindings(some, findings) {
  const counts = Object.entries(findings).map(([said, is]) => [some.filter(is).length, said]);
  return counts.filter(([number]) => number).map(([number, said]) => `${format.countText(number)} ${said}`);
}

/** Count states or services, the most urgent state first; undefined is left out. */
export function countBy(some, of) {
  const counts = new Map();
  for (const migration of some) {
    const value = of(migration);
    counts.set(value, (counts.get(value) ?? 0) + 1);
  }
  counts.delete(undefined);
  return [...counts].sort(([one], [other]) => compare(format.stateOf(one).rank, format.stateOf(other).rank) || compare(one, other));
}

/** Compare two values of a kind; null comes last. */
export function compare(one, other) {
  if (one === other) return 0;
  if (one === null) return 1;
  if (other === null) return -1;
  return one < other ? -1 : 1;
}
