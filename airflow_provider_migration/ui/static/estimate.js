// The remaining time: of the copy from the record, of catching up from the latest observations of the lag.
//
// A point is [epoch seconds, percent or null, lag in seconds or null], the oldest first.

import { instant, number, percentage, time } from "./format.js";

const PERCENT = 1;
const LAG = 2;
const FEWEST = 3; // minimum points for a pace
const RECENT = 12; // points; earlier ones say little about the current pace …
const CHANGES = 3; // … unless the value changes this rarely
const PATIENCE = 5; // multiple of the usual time between changes before it counts as stalled
const SHORTEST = 30; // minimum seconds before it counts as stalled
const USUAL = 60; // default seconds between two polls
const STEADY = 0.02; // seconds of lag a second; less is noise
const FARTHEST = 30 * 86_400; // seconds; longer estimates are not shown

/** Parse points from XCom; skip invalid ones. */
export function readPoints(value) {
  const lagOrNull = (item) => (number(item) !== null && item >= 0 ? item : null);
  return (Array.isArray(value) ? value : [])
    .filter((point) => Array.isArray(point) && instant(point[0]) !== null)
    .map(([at, percent, lag]) => [at, percentage(percent), lagOrNull(lag)])
    .sort((one, other) => one[0] - other[0]);
}

/** Append the points that are newer than the last one. */
export function merge(points, more) {
  const last = points.at(-1)?.[0] ?? -Infinity;
  return [...points, ...more.filter((point) => point[0] > last)].slice(-240);
}

/**
 * Tell the rest of a migration from its record and earlier points.
 *
 * Until the existing data is copied, that is the record's figure: the service's own, or the sensor's estimate.
 *
 * A record is written when it has changed: if it is older than several times `interval`, the seconds between two
 * polls, the migration is stalled.
 *
 * Returns `{ kind, seconds }`: `bulk` or `sync` with the seconds left until the existing data is copied, or until
 * the destination has caught up; `still` (nothing moves) with the seconds since when; `behind` (the lag grows);
 * `steady` (it stays); `unclear` (no figure yet); `none` (there is nothing to expect). `bulk` also has the `source`.
 */
export function estimate(record, points, now, interval = USUAL) {
  if (record.state !== "running") return { kind: "none" };
  const answer = ofPoints(record, points, now);
  const observedAt = time(record.observed_at);
  const stood = observedAt === null ? 0 : now - observedAt / 1000;
  const isStill = answer.kind === "unclear" && stood > Math.max(PATIENCE * interval, SHORTEST);
  return isStill ? { kind: "still", seconds: stood } : answer;
}

function ofPoints(record, points, now) {
  const told = ofRecord(record, now);
  if (told.source === "service") return told;
  if (Number.isFinite(record.lag_seconds)) return ofLag(recent(points, LAG), now);
  const hasBegun = record.percent > 0 && record.percent < 100;
  // The record of a copy that stalls is not written again, so its figure goes on.
  const still = hasBegun ? stillSince(recent(points, PERCENT), now) : null;
  return still === null ? told : { kind: "still", seconds: still };
}

/** The record's figure, less the time since. */
function ofRecord(record, now) {
  const observedAt = time(record.observed_at);
  const source = record.remaining_source;
  if (!["service", "estimate"].includes(source) || !Number.isFinite(record.remaining_seconds) || observedAt === null) return { kind: "unclear" };
  const answer = left("bulk", record.remaining_seconds - (now - observedAt / 1000));
  return answer.kind === "bulk" ? { ...answer, source } : answer;
}

/** Clamp an estimate; one that is long past or too far away is unclear. */
function left(kind, seconds) {
  return seconds > -SHORTEST && seconds < FARTHEST ? { kind, seconds: Math.max(seconds, 0) } : { kind: "unclear" };
}

function ofLag(observed, now) {
  if (observed.length < FEWEST) return { kind: "unclear" };
  const pace = slope(observed);
  const [at, lag] = observed.at(-1);
  if (!Number.isFinite(pace)) return { kind: "unclear" }; // all at one moment
  if (pace > STEADY) return { kind: "behind" };
  const seconds = pace < 0 ? lag / -pace - (now - at) : Infinity;
  return seconds < FARTHEST ? left("sync", seconds) : { kind: "steady" };
}

/** The latest points as [epoch seconds, value], enough for a pace. */
function recent(points, column) {
  const known = points.filter((point) => point[column] !== null).map((point) => [point[0], point[column]]);
  let start = known.length;
  let changes = 0;
  while (start > 0 && (known.length - start < RECENT || changes < CHANGES)) {
    start -= 1;
    if (start + 1 < known.length && known[start][1] !== known[start + 1][1]) changes += 1;
  }
  return known.slice(start);
}

/** Seconds since the last change, or null if that is not longer than usual, or not known. */
function stillSince(observed, now) {
  if (observed.length < FEWEST) return null;
  const changes = observed.flatMap(([at, value], i) => (i > 0 && value !== observed[i - 1][1] ? [at] : []));
  const begin = observed[0][0];
  const changedAt = changes.at(-1) ?? begin;
  const usual = changes.length ? (changedAt - begin) / changes.length : 0;
  const still = now - changedAt;
  return still > Math.max(PATIENCE * usual, SHORTEST) ? still : null;
}

/** Change of a value per second, by least squares. */
function slope(observed) {
  const mean = (column) => observed.reduce((sum, point) => sum + point[column], 0) / observed.length;
  const [meanTime, meanValue] = [mean(0), mean(1)];
  const spread = observed.reduce((sum, [at]) => sum + (at - meanTime) ** 2, 0);
  return observed.reduce((sum, [at, value]) => sum + (at - meanTime) * (value - meanValue), 0) / spread;
}
