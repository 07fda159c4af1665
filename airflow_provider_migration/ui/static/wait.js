// Texts about a task's target and the state of its polls.

import { clock, duration, ENDED, instant, isObject, lookUp, number, text, time } from "./format.js";

const TARGETS = {
  structure_done: "its structure is copied",
  full_done: "its existing data is copied",
  caught_up: "it has caught up",
  verified: "its data is verified",
  pending: "it is pending",
  running: "it is running",
  paused: "it is paused",
  succeeded: "it has succeeded",
  partially_succeeded: "it has partly succeeded",
  failed: "it has failed",
  cancelled: "it is cancelled",
  unknown: "its status is unknown",
};

/** True for a wait entry, from any version of the package. */
export const isWait = (value) => isObject(value) && Array.isArray(value.targets);

/** Service and id of a wait's migration; null where missing. */
export const whichOf = (value) => ({ service: text(value?.service), id: text(value?.migration_id) });

/** Describe the target, the deadline and the poll interval of a wait. */
export function purpose(wait, now) {
  return [goal(wait, now), end(wait, now), pace(wait)].filter(Boolean).join(" ");
}

function goal(wait, now) {
  const lag = number(wait.max_lag);
  const targets = wait.targets.filter(text).map((target) => {
    const word = target.toLowerCase();
    const said = lookUp(TARGETS, word) ?? `it is at “${target}”`;
    return word === "caught_up" && lag !== null ? `${said} (lag at most ${duration(lag)})` : said;
  });
  if (!targets.length) return null;
  const moment = instant(wait.checkpoint_after);
  const applied = moment === null ? "" : `, with everything until ${clock(moment * 1000, now * 1000)} applied`;
  const wanted = targets.join(" or ") + applied;
  const hold = number(wait.hold_for);
  if (!hold) return `Waits until ${wanted}.`;
  const since = instant(wait.held_since);
  const sofar = since === null ? "not yet" : `${duration(now - since)} so far`;
  return `Waits until ${wanted} and that has held for ${duration(hold)}; ${sofar}.`;
}

function end(wait, now) {
  const deadline = instant(wait.deadline);
  const stall = number(wait.stall_timeout);
  return [
    deadline === null ? null : `${deadline > now ? `Times out in ${duration(deadline - now)}, at` : "Its timeout was at"} ${clock(deadline * 1000, now * 1000)}.`,
    stall === null ? null : `Fails after ${duration(stall)} without progress.`,
  ]
    .filter(Boolean)
    .join(" ");
}

function pace(wait) {
  const interval = number(wait.poke_interval);
  if (wait.exponential_backoff === true) return "Polls with exponential backoff.";
  return interval === null ? null : `Polls every ${duration(interval)}.`;
}

/**
 * Number of consecutive failed polls while the task waits.
 *
 * @param entry the wait entry: its value and time of writing.
 * @param recordWrittenAt time of the record; one that is newer than the wait entry is from a later, successful poll.
 */
export function failedPolls(entry, recordWrittenAt) {
  if (!isWait(entry?.value) || entry.value.outcome) return 0;
  const isOvertaken = recordWrittenAt && Date.parse(recordWrittenAt) > Date.parse(entry.writtenAt);
  return isOvertaken ? 0 : Math.max(number(entry.value.poll_errors) ?? 0, 0);
}

export const failedText = (count) => (count === 1 ? "The last poll failed" : `The last ${count} polls failed`);

/** Describe how long polls have been failing, and when the task gives up. */
export function patience(wait, now) {
  const since = instant(wait.errors_since);
  const allowed = number(wait.max_poll_errors);
  return [
    since === null ? null : `Polls have failed since ${clock(since * 1000, now * 1000)}, for ${duration(now - since)}.`,
    allowed === null ? "The task keeps polling until it times out." : `The task gives up after more than ${allowed} failed polls in a row.`,
  ]
    .filter(Boolean)
    .join(" ");
}

const SILENT_SECONDS = 60; // Airflow calls a triggerer unhealthy after 30 s without a heartbeat
const OVERDUE_SECONDS = 120; // the last poll comes at the deadline and may take its time
const MOST_WARNINGS = 20;
const LONGEST_WARNING = 2_000; // characters

/** The warnings of a wait, limited in number and length. */
export function warnings(value) {
  const texts = (Array.isArray(value?.warnings) ? value.warnings : []).map(text).filter(Boolean);
  const shortened = texts.slice(0, MOST_WARNINGS).map((one) => (one.length > LONGEST_WARNING ? `${one.slice(0, LONGEST_WARNING)} …` : one));
  return texts.length > MOST_WARNINGS ? [...shortened, `And ${texts.length - MOST_WARNINGS} more: the task's log has them.`] : shortened;
}

/**
 * True if a wait and its record are from an earlier try: the wait was over before the task last ended, and the task
 * will run again.
 */
export function isOfEarlierTry(entry, instance) {
  if (!isWait(entry?.value) || !entry.value.outcome) return false;
  const isAgain = !ENDED.includes(instance?.state) && instance?.state !== "up_for_retry";
  const endedAt = time(instance?.end_date);
  return isAgain && endedAt !== null && time(entry.writtenAt) <= endedAt;
}

/** Time at which a wait reached its target (ms), if the task has yet to resume; else null. */
export function reachedAt(entry, instance) {
  const isHeldUp = ["deferred", "scheduled", "queued"].includes(instance?.state);
  const isDone = isWait(entry?.value) && entry.value.outcome === "done";
  return isDone && isHeldUp && !isOfEarlierTry(entry, instance) ? time(entry.writtenAt) : null;
}

/**
 * Describe why a waiting task is not polled, or return null; `now` in epoch seconds.
 *
 * A record is written only on a change, so its age does not tell.
 */
export function whyNobodyPolls(entry, instance, now) {
  if (reachedAt(entry, instance) !== null || ENDED.includes(instance?.state)) return null;
  if (instance?.state === "deferred" && isObject(instance.trigger)) {
    const job = isObject(instance.triggerer_job) ? instance.triggerer_job : null;
    const seen = time(job ? job.latest_heartbeat : instance.trigger.created_date);
    if (seen !== null && now - seen / 1000 > SILENT_SECONDS) {
      const said = job ? `Its triggerer was last alive at ${clock(seen, now * 1000)}` : "No triggerer has taken it up";
      return `${said}: nothing polls now. Is a triggerer running?`;
    }
  }
  const deadline = isWait(entry?.value) && !entry.value.outcome ? instant(entry.value.deadline) : null;
  if (deadline !== null && now - deadline > OVERDUE_SECONDS && !isOfEarlierTry(entry, instance)) {
    return `The wait timed out at ${clock(deadline * 1000, now * 1000)}, but Airflow has not ended the task: nothing polls now.`;
  }
  return null;
}
