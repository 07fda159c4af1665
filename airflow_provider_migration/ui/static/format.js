// How things are said.

export const SERVICES = {
  dataworks: "Alibaba Cloud DataWorks",
  dts: "Alibaba Cloud DTS",
  oms: "OceanBase OMS",
  drs: "Huawei Cloud DRS",
};

export const serviceName = (service) => SERVICES[service] ?? text(service) ?? "Unknown service";

/** States of a migration: how it is said, and how much it wants a person's eye (0 most). */
const STATES = {
  failed: { label: "Failed", rank: 0, tone: "bad" },
  partially_succeeded: { label: "Partly done", rank: 1, tone: "bad" },
  paused: { label: "Paused", rank: 2, tone: "warn" },
  unknown: { label: "Unknown", rank: 3, tone: "warn" },
  task_failed: { label: "Task failed", rank: 0, tone: "bad" },
  none: { label: "No record yet", rank: 4, tone: "quiet" },
  running: { label: "Running", rank: 5, tone: "busy" },
  pending: { label: "Pending", rank: 6, tone: "quiet" },
  caught_up: { label: "In sync", rank: 7, tone: "good" },
  succeeded: { label: "Succeeded", rank: 8, tone: "good" },
  cancelled: { label: "Cancelled", rank: 9, tone: "quiet" },
};

export const stateOf = (state) => STATES[state] ?? STATES.unknown;

const PHASES = {
  precheck: "Precheck",
  structure: "Structure",
  full: "Existing data",
  incremental: "Incremental",
  reverse_incremental: "Reverse incremental",
};

/** A phase's name; one that is a service's own begins as a sentence does. */
export const phaseName = (name) => PHASES[name] ?? text(name)?.replace(/^./u, (letter) => letter.toUpperCase()) ?? "Phase";

/** How a phase is said that the service calls running, of a migration that is not. */
const HALTED = {
  failed: "Running when it failed",
  paused: "Paused",
  cancelled: "Stopped",
  partially_succeeded: "Stopped",
  succeeded: "Ended",
};

/** A phase's state as it is said, and the tone of that: one that runs does not outlive its migration. */
export function phaseState(phase, migration) {
  const isHalted = phase.state === "running" && migration in HALTED;
  return isHalted ? { label: HALTED[migration], tone: stateOf(migration).tone } : stateOf(phase.state);
}

/** States of Airflow's task instances, with what they mean for one who waits. */
const TASK_STATES = {
  deferred: "waiting (deferred)",
  up_for_reschedule: "waiting for its next poll",
  up_for_retry: "waiting to be tried again",
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

export const taskState = (state) => TASK_STATES[state] ?? (state ? String(state) : "not started");

export const ENDED = ["success", "failed", "skipped", "upstream_failed", "removed"];

/** States in which a task waits for a migration, or is about to. */
export const WATCHING = ["running", "deferred", "up_for_reschedule", "queued", "scheduled", "restarting", "up_for_retry"];

/** The package's sensors, by the names that Airflow keeps of them, and what they watch. */
export const SENSOR_SERVICES = {
  DataWorksMigrationSensor: "dataworks",
  DtsMigrationJobSensor: "dts",
  OmsProjectSensor: "oms",
  DrsProgressSensor: "drs",
};
export const SENSORS = Object.keys(SENSOR_SERVICES);

export const isObject = (value) => value !== null && typeof value === "object";

/** Whether something is a record of progress, whichever version of the package wrote it. */
export const isRecord = (value) => isObject(value) && typeof value.state === "string";

/** A text, or null for what is none. */
export const text = (value) => (typeof value === "string" && value.trim() ? value : null);

/** A number, or null for what is none. */
export const number = (value) => (typeof value === "number" && Number.isFinite(value) ? value : null);

/** A percentage, or null for what is none. */
export const percentage = (value) => (number(value) !== null && value >= 0 && value <= 100 ? value : null);

/**
 * A message as its beginning and the items that it lists, each with its repair or null.
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

const UNITS = [
  [86_400, "d"],
  [3_600, "h"],
  [60, "min"],
  [1, "s"],
];

/** Seconds in at most two units: `3 s`, `4 min 10 s`, `2 h 5 min`, `3 d`. */
export function duration(seconds) {
  const whole = Math.max(Math.round(seconds), 0);
  const first = UNITS.findIndex(([size]) => whole >= size);
  if (first < 0) return "0 s";
  const [size, unit] = UNITS[first];
  const parts = [`${Math.floor(whole / size)} ${unit}`];
  const next = UNITS[first + 1];
  const rest = next && Math.floor((whole % size) / next[0]);
  if (rest) parts.push(`${rest} ${next[1]}`);
  return parts.join(" ");
}

/** Seconds as an estimate, which claims no more than it knows: `about 4 min`. */
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

export const countText = (value) => value.toLocaleString("en");

const CLOCK = new Intl.DateTimeFormat("en-GB", {
  timeZone: "UTC",
  day: "numeric",
  month: "short",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});

export const clock = (milliseconds) => `${CLOCK.format(milliseconds)} UTC`;
