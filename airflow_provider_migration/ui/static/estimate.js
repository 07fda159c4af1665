// How long it may still take, judged by the last observations.
//
// A point is [epoch seconds, percent or null, lag in seconds or null], the oldest first.

const PERCENT = 1;
const LAG = 2;
const RECENT = 12; // points; what was earlier says little of the present pace
const FEWEST = 3;
const SILENCE = 5; // times the usual gap between points, in which nothing changed

/** Read what XCom holds into points, leaving out what is none. */
export function readPoints(value) {
  const points = Array.isArray(value) ? value : [];
  return points
    .filter((point) => Array.isArray(point) && Number.isFinite(point[0]))
    .map(([at, percent, lag]) => [at, Number.isFinite(percent) ? percent : null, Number.isFinite(lag) ? lag : null])
    .sort((one, other) => one[0] - other[0]);
}

/** Add to points those that are newer than their last. */
export function merge(points, more) {
  const last = points.length ? points.at(-1)[0] : -Infinity;
  return [...points, ...more.filter((point) => point[0] > last)].slice(-240);
}

/**
 * Say what is to be expected.
 *
 * Returns `{ kind, seconds }`: `bulk` or `sync` with the seconds left until the existing data is copied, or until
 * the destination has caught up; `behind` (the lag grows); `still` (nothing moves) with the seconds since when;
 * `unclear` (not enough observations yet); `none` (there is nothing to expect).
 */
export function estimate(record, points, now) {
  if (record.state !== "running") return { kind: "none" };
  const isIncremental = Number.isFinite(record.lag_seconds);
  const hasBulk = Number.isFinite(record.percent) && record.percent < 100;
  if (hasBulk && !isIncremental) return ofPercent(points, now);
  if (isIncremental) return ofLag(points, now);
  return { kind: "unclear" };
}

function ofPercent(points, now) {
  const recent = known(points, PERCENT);
  const pace = paceOf(recent, PERCENT, now);
  if (pace === null) return { kind: "unclear" };
  if (pace.still !== null || pace.slope <= 0) return { kind: "still", seconds: pace.still };
  return { kind: "bulk", seconds: Math.max((100 - recent.at(-1)[PERCENT]) / pace.slope - (now - recent.at(-1)[0]), 0) };
}

function ofLag(points, now) {
  const recent = known(points, LAG);
  const pace = paceOf(recent, LAG, now);
  if (pace === null) return { kind: "unclear" };
  if (pace.slope >= 0) return { kind: "behind" };
  return { kind: "sync", seconds: Math.max(recent.at(-1)[LAG] / -pace.slope - (now - recent.at(-1)[0]), 0) };
}

function known(points, column) {
  return points.filter((point) => point[column] !== null).slice(-RECENT);
}

/** How much a value changes in a second, by least squares; `still` is for how long it has not changed at all. */
function paceOf(recent, column, now) {
  if (recent.length < FEWEST) return null;
  const times = recent.map((point) => point[0]);
  const values = recent.map((point) => point[column]);
  const span = times.at(-1) - times[0];
  if (span <= 0) return null;
  const changedAt = times[values.findIndex((value) => value === values.at(-1))];
  const silence = Math.max((SILENCE * span) / (recent.length - 1), 30);
  const still = now - changedAt > silence ? now - changedAt : null;
  const meanTime = mean(times);
  const meanValue = mean(values);
  const spread = times.reduce((sum, time) => sum + (time - meanTime) ** 2, 0);
  const slope = times.reduce((sum, time, i) => sum + (time - meanTime) * (values[i] - meanValue), 0) / spread;
  return { slope, still };
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
