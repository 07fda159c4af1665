// Client for Airflow's public REST API, with the user's own session: Airflow enforces the permissions.

import { ago, isObject, lookUp, number } from "./format.js";

export const AIRFLOW = new URL("../", import.meta.url);
const API = new URL("api/v2/", AIRFLOW);
const TIMEOUT = 30_000;
const LATE = 60_000; // ms without a successful read before the page warns that its values are old
const SLACK = 5_000; // tolerated clock difference in ms, because `Date` has whole seconds

const EXPLANATIONS = {
  0: "Airflow does not answer.",
  200: "Airflow sent an answer that this page cannot read.",
  401: "Your session has ended. Reload the page in the browser and log in again.",
  403: "Airflow does not allow you to read this. Ask an administrator for permission to read this DAG.",
};

/** A request without usable data; `status` is 0 without a response. */
export class ApiError extends Error {
  constructor(status) {
    super(lookUp(EXPLANATIONS, status) ?? `Airflow answered with an error (HTTP ${status}).`);
    this.status = status;
  }

  /** True for transient errors, which a retry may solve. */
  get mayPass() {
    return this.status !== 401 && this.status !== 403;
  }
}

let skew = 0; // ms by which Airflow's clock is ahead of this one

/** The current time by Airflow's clock (ms): a wrong browser clock must not make old records look new. */
export const now = () => Date.now() + skew;

function learnClock(response) {
  const date = Date.parse(response.headers.get("Date"));
  if (Number.isNaN(date)) return;
  const difference = date - Date.now();
  skew = Math.abs(difference) > SLACK ? difference : 0;
}

/** Join encoded parts to a path. */
export function path(...parts) {
  return parts.map(encodeURIComponent).join("/");
}

export const ofTask = (task) => path("dags", task.dag, "dagRuns", task.run, "taskInstances", task.task);

/** Get an object; null on 404. Lists become repeated parameters. */
export async function get(where, parameters = {}) {
  const url = new URL(where, API);
  for (const [name, value] of Object.entries(parameters)) {
    for (const item of [value].flat()) url.searchParams.append(name, item);
  }
  let response;
  let body;
  try {
    response = await fetch(url, {
      cache: "no-store",
      credentials: "same-origin",
      headers: { Accept: "application/json" },
      signal: AbortSignal.timeout(TIMEOUT),
    });
    learnClock(response);
    if (response.ok) body = await response.text();
  } catch {
    throw new ApiError(0);
  }
  const isPage = response.headers.get("Content-Type")?.startsWith("text/html"); // not of Airflow's API
  if (response.status === 404 && !isPage) return null;
  if (!response.ok) throw new ApiError(response.status);
  if (isPage) throw new ApiError(401); // a page to log in
  const answer = parsed(body);
  if (!isObject(answer) || Array.isArray(answer)) throw new ApiError(200);
  return answer;
}

/** Get a page of a list: `{ items, total }`; the total is null if missing. */
export async function getPage(where, name, parameters) {
  const answer = await get(where, parameters);
  const items = answer?.[name];
  // A missing list must not look like an empty one, which would mean that all is well.
  if (answer === null) throw new ApiError(404);
  if (!Array.isArray(items) || !items.every(isObject)) throw new ApiError(200);
  return { items, total: number(answer.total_entries) };
}

/** Get a task's XCom entry (value and time of writing), or null. */
export const xcom = (task, key) => getValue(`${ofTask(task)}/xcomEntries/${key}`, task, "timestamp");

/** Get an entry of Airflow's task state store, or null. */
export async function stored(task, key) {
  try {
    return await getValue(`${ofTask(task)}/state-store/${key}`, task, "updated_at");
  } catch (error) {
    // Users without permission for the store see the XCom instead.
    if (error.status === 403) return null;
    throw error;
  }
}

async function getValue(where, task, writtenAt) {
  const entry = await get(where, { map_index: task.mapIndex });
  if (entry === null) return null;
  if (!Object.hasOwn(entry, "value")) throw new ApiError(200);
  const { value } = entry;
  return { value: typeof value === "string" ? (parsed(value) ?? value) : value, writtenAt: entry[writtenAt] };
}

/** Parse JSON, or return undefined. Python's NaN and Infinity, which are not valid JSON, become null. */
function parsed(json) {
  const numbers = /"(?:[^"\\]|\\.)*"|-?Infinity|NaN/g;
  try {
    return JSON.parse(json.replace(numbers, (found) => (found.startsWith('"') ? found : "null")));
  } catch {
    return undefined;
  }
}

/** A queue that runs at most `most` jobs at once, in order: `await queue(job)` resolves to the job's result. */
export function makeQueue(most) {
  const waiting = [];
  let running = 0;
  const next = () => {
    if (running >= most || waiting.length === 0) return;
    running += 1;
    waiting.shift()();
  };
  return async (job) => {
    await new Promise((resolve) => {
      waiting.push(resolve);
      next();
    });
    try {
      return await job();
    } finally {
      running -= 1;
      next();
    }
  };
}

/**
 * Call `work` now and then every so many seconds for as long as it returns true; less often while it fails, and
 * not at all while nobody looks. Someone who comes back sees what is new at once, also after the end.
 *
 * Returns a function that calls `work` at once, or again as soon as the call that is under way has ended.
 *
 * `onState` is called after each round, and every second while nothing could be read for long, with `{ error, readAt,
 * isLate }`: why the last round failed or null, when the last good one began (ms, null before the first), and whether
 * that is too long ago.
 */
export function keepReading(work, seconds, onState) {
  const LONGEST = 120;
  let timer = null;
  let failures = 0;
  let isBusy = false;
  let isWanted = false;
  let isOver = false;
  let wasLate = false;
  let lookedAt = Date.now();
  const state = { error: null, readAt: null, isLate: false };

  const round = async () => {
    if (isBusy || document.hidden) return;
    isBusy = true;
    clearTimeout(timer);
    const began = Date.now();
    let goOn;
    try {
      goOn = await work();
      failures = 0;
      isOver = !goOn;
      Object.assign(state, { error: null, readAt: began, isLate: false });
    } catch (error) {
      failures += 1;
      goOn = error.mayPass ?? true;
      if (!(error instanceof ApiError)) console.error(error);
      state.error =
        error instanceof ApiError ? error : { message: "Part of this page cannot be shown; see the browser's console.", mayPass: true };
      if (!goOn) state.readAt = null; // the values are removed from the screen
    } finally {
      isBusy = false;
    }
    onState(state);
    const isSoon = isWanted;
    isWanted = false;
    if (goOn) timer = setTimeout(round, isSoon ? 0 : Math.min(seconds * 2 ** failures, LONGEST) * 1000);
  };
  document.addEventListener("visibilitychange", () => {
    lookedAt = Date.now();
    round();
  });
  setInterval(() => {
    if (document.hidden || state.readAt === null) return;
    // A user who returns to the page gets the few seconds that a round takes.
    const isLate = !isOver && Date.now() - Math.max(state.readAt, lookedAt - LATE + SLACK) > LATE;
    state.isLate = isLate;
    if (isLate || wasLate || state.error) onState(state);
    wasLate = isLate;
  }, 1000);
  round();
  return () => {
    isWanted = isBusy;
    round();
  };
}

/** Describe why the shown values may be outdated, or return null. */
export function troubleText({ error, readAt, isLate }) {
  if (error === null && !isLate) return null;
  if (error && !error.mayPass) return error.message;
  const message = error?.message ?? "Airflow answers slowly.";
  if (readAt === null) return `${message} Retrying automatically.`;
  return `${message} The values below were read ${ago((Date.now() - readAt) / 1000)}; retrying automatically.`;
}
