// Labels and number formats.

/** Look up a word among a table's own keys; undefined for others, such as `constructor`. */
export const lookUp = (table, word) =>
  ["string", "number"].includes(typeof word) && Object.hasOwn(table, word) ? table[word] : undefined;

export const SERVICES = {
  dataworks: "Alibaba Cloud DataWorks",
  dts: "Alibaba Cloud DTS",
  oms: "OceanBase OMS",
  drs: "Huawei Cloud DRS",
};

export const serviceName = (service) => lookUp(SERVICES, service) ?? text(service) ?? "Unknown service";

/** States of a migration with label, tone and urgency (rank 0 is the most urgent). */
const STATES = {
  failed: { label: "Failed", rank: 0, tone: "bad" },
  partially_succeeded: { label: "Partly done", rank: 1, tone: "bad" },
  paused: { label: "Paused", rank: 2, tone: "warn" },
  unknown: { label: "Unknown", rank: 3, tone: "warn" },
  running: { label: "Running", rank: 5, tone: "busy" },
  pending: { label: "Pending", rank: 6, tone: "quiet" },
  caught_up: { label: "In sync", rank: 7, tone: "good" },
  succeeded: { label: "Succeeded", rank: 8, tone: "good" },
  cancelled: { label: "Cancelled", rank: 9, tone: "quiet" },
};

/** Pseudo-states without a record; a record's state must never match them. */
const WITHOUT_RECORD = {
  task_failed: { label: "Task failed", rank: 0, tone: "bad" },
  not_read: { label: "Not read", rank: 3, tone: "warn" },
  elsewhere: { label: "Not readable here", rank: 3, tone: "warn" },
  none: { label: "No record yet", rank: 4, tone: "quiet" },
  loading: { label: "Loading …", rank: 4, tone: "quiet" },
};

export const stateOf = (state) => lookUp(STATES, state) ?? lookUp(WITHOUT_RECORD, state) ?? STATES.unknown;

/** A record's state; `unknown` for an unexpected one. */
export const stateOfRecord = (record) => (Object.hasOwn(STATES, record.state) ? record.state : "unknown");

const PHASES = {
  precheck: "Precheck",
  structure: "Structure",
  full: "Existing data",
  incremental: "Incremental",
  reverse_incremental: "Reverse incremental",
};

/** A phase's label; a service's own name is capitalised. */
export const phaseName = (name) => lookUp(PHASES, name) ?? text(name)?.replace(/^./u, (letter) => letter.toUpperCase()) ?? "Phase";

/** Labels of a phase that the service calls running although its migration is not. */
const HALTED = {
  failed: "Running when it failed",
  paused: "Paused",
  cancelled: "Stopped",
  partially_succeeded: "Stopped",
  succeeded: "Ended",
};

/** Label and tone of a phase's state; a running phase of an ended migration gets a label above. */
export function phaseState(phase, migration) {
  const halted = phase.state === "running" ? lookUp(HALTED, migration) : undefined;
  return halted ? { label: halted, tone: stateOf(migration).tone } : stateOf(stateOfRecord(phase));
}

/** Labels of Airflow's task instance states. */
const TASK_STATES = {
  deferred: "waiting (deferred)",
  up_for_reschedule: "waiting for its next poll",
  up_for_retry: "waiting for its next try",
  running: "running",
  queued: "queued",
  scheduled: "scheduled",
  restarting: "restarting",
  success: "succeeded",
  failed: "failed",
  skipped: "skipped",
  upstream_failed: "not run: an upstream task failed",
  removed: "removed",
};

export const taskState = (state) => lookUp(TASK_STATES, state) ?? (state ? String(state) : "not started");

export const ENDED = ["success", "failed", "skipped", "upstream_failed", "removed"];

/** States without polls until Airflow runs the task. */
const IDLE = ["scheduled", "queued", "restarting", "up_for_retry"];

export const isIdle = (state) => IDLE.includes(state) || (state ?? null) === null;

/** States of a task that waits, or is about to wait. */
export const WATCHING = ["running", "deferred", "up_for_reschedule", "queued", "scheduled", "restarting", "up_for_retry"];

/** Services by the class names of the package's sensors. */
export const SENSOR_SERVICES = {
  DataWorksMigrationSensor: "dataworks",
  DtsMigrationJobSensor: "dts",
  OmsProjectSensor: "oms",
  DrsProgressSensor: "drs",
};
export const SENSORS = Object.keys(SENSOR_SERVICES);

export const serviceOfSensor = (operator) => lookUp(SENSOR_SERVICES, operator) ?? null;

export const isObject = (value) => value !== null && typeof value === "object";

/** True for a progress record, from any version of the package. */
export const isRecord = (value) => isObject(value) && typeof value.state === "string";

/**
 * True if XCom does not contain a record: a custom XCom backend stores a reference there, such as
 * `s3://bucket/key`, which Airflow's API returns as it is, also when asked to deserialize it.
 */
export const isElsewhere = (entry) => (entry?.value ?? null) !== null && !isRecord(entry.value);

/** A non-empty string, else null. */
export const text = (value) => (typeof value === "string" && value.trim() ? value : null);

/** A finite number, else null. */
export const number = (value) => (typeof value === "number" && Number.isFinite(value) ? value : null);

/** A number from 0 to 100, else null. */
export const percentage = (value) => (number(value) !== null && value >= 0 && value <= 100 ? value : null);

/**
 * Split a message into its beginning and its listed items, each with its repair or null.
 *
 * Services' failed items come as `precheck: • ITEM: what is wrong (repair: what to do) • …`.
 */
export function messageParts(message) {
  const [beginning, ...items] = message.split(/(?:^| )• /);
  return {
    beginning: beginning.replace(/:$/, ""),
    items: items.map((item) => {
      const [, what, repair] = /^(.*?) \(repair: (.*)\)[;.]?$/s.exec(item) ?? [null, item, null];
      return { what, repair };
    }),
  };
}

/** A point in time in milliseconds, or null. */
export function time(value) {
  const milliseconds = typeof value === "string" ? Date.parse(value) : NaN;
  return Number.isNaN(milliseconds) ? null : milliseconds;
}

/** Valid epoch seconds, else null. */
export const instant = (value) => (number(value) !== null && Math.abs(value) <= 8.64e12 ? value : null);

const UNITS = [
  [86_400, "d"],
  [3_600, "h"],
  [60, "min"],
  [1, "s"],
];

const LONGEST = 100 * 365 * 86_400; // seconds

/** Seconds in at most two units: `3 s`, `4 min 10 s`, `2 h 5 min`, `3 d`. */
export function duration(seconds) {
  if (Number.isNaN(seconds)) return "not known";
  if (seconds >= LONGEST) return "more than 100 years";
  const whole = Math.max(Math.round(seconds), 0);
  const first = UNITS.findIndex(([size]) => whole >= size);
  if (first < 0) return "0 s";
  const [size, unit] = UNITS[first];
  const parts = [`${countText(Math.floor(whole / size))} ${unit}`];
  const next = UNITS[first + 1];
  const rest = next && Math.floor((whole % size) / next[0]);
  if (rest) parts.push(`${rest} ${next[1]}`);
  return parts.join(" ");
}

/** A rounded estimate of seconds: `about 4 min`. */
export function roughly(seconds) {
  if (seconds < 10) return "a few seconds";
  if (seconds < 55) return `about ${Math.round(seconds / 10) * 10} s`;
  if (seconds < 3_300) return `about ${Math.max(Math.round(seconds / 60), 1)} min`;
  const hours = seconds / 3_600;
  if (hours < 47) return `about ${hours < 10 ? Math.round(hours * 2) / 2 : Math.round(hours)} h`;
  return `about ${Math.round(hours / 24)} days`;
}

export const ago = (seconds) => (seconds < 1 ? "just now" : `${duration(seconds)} ago`);

export const percentText = (value) => (value === null ? "not known" : `${Math.round(value * 10) / 10} %`);

const SIZES = ["bytes", "kB", "MB", "GB", "TB"];

/** The speed of a migration: `140 rows/s, 1.5 MB/s`; null if the service gives none. */
export function speedText(throughput) {
  const rows = number(throughput?.rows_per_second);
  const size = number(throughput?.bytes_per_second);
  const step = size > 0 ? Math.min(Math.floor(Math.log10(size) / 3), SIZES.length - 1) : 0;
  const said = [
    rows === null ? null : `${countText(rows < 10 ? Math.round(rows * 10) / 10 : Math.round(rows))} rows/s`,
    size === null ? null : `${countText(Math.round((size / 1000 ** Math.max(step, 0)) * 10) / 10)} ${SIZES[Math.max(step, 0)]}/s`,
  ].filter(Boolean);
  return said.length ? said.join(", ") : null;
}

/** The service's own retries: `3 so far, for 5 min, at most 2 h: no route`; null while it makes none. */
export function retriesText(retrying) {
  if (!isObject(retrying)) return null;
  const [count, spent, most] = [retrying.count, retrying.for_seconds, retrying.at_most_seconds].map(number);
  const figures = [
    count === null ? "The service retries" : `${countText(count)} so far`,
    spent === null ? null : `for ${duration(spent)}`,
    most === null ? null : `at most ${duration(most)}`,
  ].filter(Boolean);
  return [figures.join(", "), text(retrying.reason)].filter(Boolean).join(": ");
}

export const countText = (value) => value.toLocaleString("en");

const CLOCK_FIELDS = { timeZone: "UTC", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" };
const CLOCK = new Intl.DateTimeFormat("en-GB", CLOCK_FIELDS);
const CLOCK_WITH_YEAR = new Intl.DateTimeFormat("en-GB", { ...CLOCK_FIELDS, year: "numeric" });
const HALF_A_YEAR = 183 * 86_400_000;

const MINUTE = new Intl.DateTimeFormat("en-GB", { ...CLOCK_FIELDS, second: undefined });

/** An estimated point in time (ms), to the minute. */
export const minute = (milliseconds) => `${MINUTE.format(milliseconds)} UTC`;

/** A point in time (ms); with the year if it is far from now. */
export function clock(milliseconds, present = Date.now()) {
  const isFar = Math.abs(milliseconds - present) > HALF_A_YEAR;
  return `${(isFar ? CLOCK_WITH_YEAR : CLOCK).format(milliseconds)} UTC`;
}
