// How long it may still take, judged by the last observations.
//
// A point is [epoch seconds, percent or null, lag in seconds or null], the oldest first.

const PERCENT = 1;
const LAG = 2;
const FEWEST = 3; // points; fewer tell no pace
const RECENT = 12; // points; what was earlier says little of the present pace …
const CHANGES = 3; // … unless the value changes so seldom
const PATIENCE = 5; // times the usual time between changes, after which nothing is said to move
const SHORTEST = 30; // seconds, likewise
const USUAL = 60; // seconds between two polls, where that is not known
const STEADY = 0.02; // seconds of lag a second; less is noise
const FARTHEST = 30 * 86_400; // seconds; beyond this a guess is none

/** Read what XCom holds into points, leaving out what is none. */
export function readPoints(value) {
  const numberOrNull = (item) => (Number.isFinite(item) ? item : null);
  return (Array.isArray(value) ? value : [])
    .filter((point) => Array.isArray(point) && Number.isFinite(point[0]))
    .map(([at, percent, lag]) => [at, numberOrNull(percent), numberOrNull(lag)])
    .sort((one, other) => one[0] - other[0]);
}

/** Add to points those that are newer than their last. */
export function merge(points, more) {
  const last = points.at(-1)?.[0] ?? -Infinity;
  return [...points, ...more.filter((point) => point[0] > last)].slice(-240);
}

/**
 * Say what is to be expected of a record, by the points before it.
 *
 * A record is written when it has changed: one that has stood for `interval`, the seconds between two polls, several
 * times over is of a migration in which nothing moves.
 *
 * Returns `{ kind, seconds }`: `bulk` or `sync` with the seconds left until the existing data is copied, or until
 * the destination has caught up; `still` (nothing moves) with the seconds since when; `behind` (the lag grows);
 * `steady` (it stays); `unclear` (not enough observations yet); `none` (there is nothing to expect).
 */
export function estimate(record, points, now, interval = USUAL) {
  if (record.state !== "running") return { kind: "none" };
  const answer = ofPoints(record, points, now);
  const stood = now - Date.parse(record.observed_at) / 1000;
  const isStill = answer.kind === "unclear" && stood > Math.max(PATIENCE * interval, SHORTEST);
  return isStill ? { kind: "still", seconds: stood } : answer;
}

function ofPoints(record, points, now) {
  if (Number.isFinite(record.lag_seconds)) return ofLag(recent(points, LAG), now);
  if (Number.isFinite(record.percent) && record.percent < 100) return ofPercent(recent(points, PERCENT), now);
  return { kind: "unclear" };
}

function ofPercent(observed, now) {
  const [at, percent] = observed.at(-1) ?? [];
  // At 0 it may be at the precheck, which is no part of it.
  if (observed.length < FEWEST || percent === 0) return { kind: "unclear" };
  const still = stillSince(observed, now);
  if (still !== null) return { kind: "still", seconds: still };
  // A phase that is slower than the one before shows in the later half first.
  const paces = [slope(observed), slope(observed.slice(-Math.max(observed.length / 2, FEWEST)))];
  const seconds = (100 - percent) / Math.min(...paces.filter((pace) => pace > 0)) - (now - at);
  return seconds < FARTHEST ? { kind: "bulk", seconds: Math.max(seconds, 0) } : { kind: "unclear" };
}

function ofLag(observed, now) {
  if (observed.length < FEWEST) return { kind: "unclear" };
  const pace = slope(observed);
  const [at, lag] = observed.at(-1);
  if (pace > STEADY) return { kind: "behind" };
  const seconds = lag / -pace - (now - at);
  return pace < 0 && seconds < FARTHEST ? { kind: "sync", seconds: Math.max(seconds, 0) } : { kind: "steady" };
}

/** The last points as [epoch seconds, value], as many as it takes to see the pace. */
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

/** For how many seconds a value has not changed, or null where that is not longer than usual. */
function stillSince(observed, now) {
  const changes = observed.flatMap(([at, value], i) => (i > 0 && value !== observed[i - 1][1] ? [at] : []));
  const begin = observed[0][0];
  const changedAt = changes.at(-1) ?? begin;
  const usual = changes.length ? (changedAt - begin) / changes.length : 0;
  const still = now - changedAt;
  return still > Math.max(PATIENCE * usual, SHORTEST) ? still : null;
}

/** How much a value changes in a second, by least squares. */
function slope(observed) {
  const mean = (column) => observed.reduce((sum, point) => sum + point[column], 0) / observed.length;
  const [meanTime, meanValue] = [mean(0), mean(1)];
  const spread = observed.reduce((sum, [at]) => sum + (at - meanTime) ** 2, 0);
  return observed.reduce((sum, [at, value]) => sum + (at - meanTime) * (value - meanValue), 0) / spread;
}
