// What a task waits for, and how its polls go.

import { clock, duration, isObject, number, text } from "./format.js";

const TARGETS = {
  structure_done: "its structure is copied",
  full_done: "its existing data is copied",
  caught_up: "it has caught up",
  pending: "it is pending",
  running: "it is running",
  paused: "it is paused",
  succeeded: "it has succeeded",
  partially_succeeded: "it has partly succeeded",
  failed: "it has failed",
  cancelled: "it is cancelled",
  unknown: "its status is unknown",
};

/** Whether something tells of a wait, whichever version of the package wrote it. */
export const isWait = (value) => isObject(value) && Array.isArray(value.targets);

/** Which migration a wait is for: its service and its id, each null where it is not told. */
export const whichOf = (value) => ({ service: text(value?.service), id: text(value?.migration_id) });

/** Say what a task waits for, until when, and how often it asks. */
export function purpose(wait, now) {
  return [goal(wait, now), end(wait, now), pace(wait)].filter(Boolean).join(" ");
}

function goal(wait, now) {
  const lag = number(wait.max_lag);
  const targets = wait.targets.filter(text).map((target) => {
    const word = target.toLowerCase();
    const said = TARGETS[word] ?? `it is at “${target}”`;
    return word === "caught_up" && lag !== null ? `${said} (lag at most ${duration(lag)})` : said;
  });
  if (!targets.length) return null;
  const hold = number(wait.hold_for);
  if (!hold) return `Waits until ${targets.join(" or ")}.`;
  const since = number(wait.held_since);
  const sofar = since === null ? "not yet" : `${duration(now - since)} so far`;
  return `Waits until ${targets.join(" or ")} and that has held for ${duration(hold)}; ${sofar}.`;
}

function end(wait, now) {
  const deadline = number(wait.deadline);
  const stall = number(wait.stall_timeout);
  return [
    deadline === null ? null : `Gives up ${deadline > now ? `in ${duration(deadline - now)}, ` : ""}at ${clock(deadline * 1000)}.`,
    stall === null ? null : `Fails when nothing moves for ${duration(stall)}.`,
  ]
    .filter(Boolean)
    .join(" ");
}

function pace(wait) {
  const interval = number(wait.poke_interval);
  if (wait.exponential_backoff === true) return "Asks less and less often.";
  return interval === null ? null : `Asks every ${duration(interval)}.`;
}

/**
 * How many of the last polls have failed one after the other, while the task waits.
 *
 * @param entry the wait as it was written: its value, and when that was.
 * @param recordWrittenAt when the record was written; one that is newer than the wait comes of a poll that succeeded.
 */
export function failedPolls(entry, recordWrittenAt) {
  if (!isWait(entry?.value) || entry.value.outcome) return 0;
  const isOvertaken = recordWrittenAt && Date.parse(recordWrittenAt) > Date.parse(entry.writtenAt);
  return isOvertaken ? 0 : Math.max(number(entry.value.poll_errors) ?? 0, 0);
}

export const failedText = (count) => (count === 1 ? "The last poll failed" : `The last ${count} polls failed`);

/** Say for how long polls fail, and how long the task puts up with it. */
export function patience(wait, now) {
  const since = number(wait.errors_since);
  const allowed = number(wait.max_poll_errors);
  return [
    since === null ? null : `Polls fail since ${clock(since * 1000)}, for ${duration(now - since)}.`,
    allowed === null ? "The task goes on asking until its time is up." : `The task gives up when more than ${allowed} fail in a row.`,
  ]
    .filter(Boolean)
    .join(" ");
}
