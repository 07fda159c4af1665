// Airflow's public REST API, asked with the session of whoever looks at the page: what they may not read, it refuses.

export const AIRFLOW = new URL("../", import.meta.url);
const API = new URL("api/v2/", AIRFLOW);
const TIMEOUT = 30_000;

const EXPLANATIONS = {
  0: "Airflow does not answer.",
  401: "Your session has ended. Reload the page in the browser and log in again.",
  403: "Airflow does not allow you to read this. Ask whoever manages its permissions for the right to read this DAG.",
};

/** Airflow answered something else than data; `status` is 0 where there was no answer. */
export class ApiError extends Error {
  constructor(status) {
    super(EXPLANATIONS[status] ?? `Airflow answered with an error (HTTP ${status}).`);
    this.status = status;
  }

  /** Whether asking again may help without the person doing something. */
  get mayPass() {
    return this.status !== 401 && this.status !== 403;
  }
}

/** Make a path of parts that may hold any character. */
export function path(...parts) {
  return parts.map(encodeURIComponent).join("/");
}

export const ofTask = (task) => path("dags", task.dag, "dagRuns", task.run, "taskInstances", task.task);

/** Ask for something; null where there is no such thing. Lists become repeated parameters. */
export async function get(where, parameters = {}) {
  const url = new URL(where, API);
  for (const [name, value] of Object.entries(parameters)) {
    for (const item of [value].flat()) url.searchParams.append(name, item);
  }
  let response;
  try {
    response = await fetch(url, {
      credentials: "same-origin",
      headers: { Accept: "application/json" },
      signal: AbortSignal.timeout(TIMEOUT),
    });
  } catch {
    throw new ApiError(0);
  }
  if (response.status === 404) return null;
  if (!response.ok) throw new ApiError(response.status);
  try {
    return await response.json();
  } catch {
    throw new ApiError(401); // a page to log in where data was expected
  }
}

/** Ask for a task's XCom, or null: its value and when it was written. */
export async function xcom(task, key) {
  const entry = await get(`${ofTask(task)}/xcomEntries/${key}`, { map_index: task.mapIndex });
  return entry && { value: plain(entry.value), writtenAt: entry.timestamp };
}

/** Ask for what a task keeps in Airflow's task state store, or null. */
export async function stored(task, key) {
  const entry = await get(`${ofTask(task)}/state-store/${key}`, { map_index: task.mapIndex });
  return entry && { value: plain(entry.value), writtenAt: entry.updated_at };
}

function plain(value) {
  if (typeof value !== "string") return value;
  try {
    return JSON.parse(value);
  } catch {
    return null;
  }
}

/**
 * Call `work` now and then every so many seconds for as long as it returns true; less often while it fails, and
 * not at all while nobody looks. Someone who comes back sees what is new at once, also after the end.
 */
export function keepReading(work, seconds, onError) {
  const LONGEST = 120;
  let timer = null;
  let failures = 0;
  let isBusy = false;

  const round = async () => {
    if (isBusy || document.hidden) return;
    isBusy = true;
    clearTimeout(timer);
    let goOn;
    try {
      goOn = await work();
      failures = 0;
      onError(null);
    } catch (error) {
      failures += 1;
      goOn = error.mayPass ?? true;
      if (!(error instanceof ApiError)) console.error(error);
      onError(error instanceof ApiError ? error : { message: "Something cannot be shown; the browser's console says what.", mayPass: true });
    } finally {
      isBusy = false;
    }
    if (goOn) timer = setTimeout(round, Math.min(seconds * 2 ** failures, LONGEST) * 1000);
  };
  document.addEventListener("visibilitychange", round);
  return round();
}
