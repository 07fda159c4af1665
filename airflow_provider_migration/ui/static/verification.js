// Texts about a service's own comparison of source and destination.

import { countText, isObject, lookUp, percentage, percentText, text, time } from "./format.js";

const MOST_TABLES = 20;
const LARGEST = 2 ** 53; // larger integers are not exact

/** States of a data check with their tone; only a consistent one may be green. */
const TONES = {
  not_configured: "quiet",
  pending: "quiet",
  running: "busy",
  consistent: "good",
  inconsistent: "bad",
  failed: "bad",
  unknown: "quiet",
};

/** The columns of the tables that differ or could not be compared. */
export const COLUMNS = [
  { name: "Source", value: ({ source }) => text(source) },
  { name: "Destination", value: ({ destination }) => text(destination) },
  { name: "Result", value: ({ result }) => text(result) },
  { name: "Different rows", value: ({ rows_different: rows }) => count(rows), isNumber: true },
];

/** A whole number that may be a count, else null. */
const count = (value) => (Number.isInteger(value) && value >= 0 && value <= LARGEST ? value : null);

const tables = (number) => `${countText(number)} ${number === 1 ? "table" : "tables"}`;
const outOf = (number, total) => (total !== null && total >= number ? `${countText(number)} of ${tables(total)}` : tables(number));
const differ = (number) => (number === 1 ? "differs" : "differ");

/** The known fields of a record's verification; null if the record has none. */
function fieldsOf(record) {
  const value = record?.verification;
  if (!isObject(value) || Array.isArray(value)) return null;
  const [total, compared, different, failed, rows] = [
    value.tables_total,
    value.tables_compared,
    value.tables_different,
    value.tables_failed,
    value.rows_different,
  ].map(count);
  const worst = (Array.isArray(value.worst) ? value.worst : [])
    .filter((table) => isObject(table) && COLUMNS.some((column) => column.value(table) !== null))
    .slice(0, MOST_TABLES);
  const told = lookUp(TONES, value.state) ? value.state : "unknown";
  // A result that contradicts itself must not be shown as success.
  const isContradicted = told === "consistent" && (different > 0 || failed > 0 || rows > 0 || worst.length > 0);
  const state = isContradicted ? "unknown" : told;
  return { state, percent: percentage(value.percent), total, compared, different, failed, rows, worst, checkedAt: time(value.checked_at) };
}

const VERDICTS = {
  not_configured: () => "This migration has no data check.",
  pending: (_, isOver) => (isOver ? "The data check had not begun when it was last read." : "The data check has not begun."),
  running: ({ percent }, isOver) => {
    const said = isOver ? "The data check was running when it was last read" : "The data check is running";
    return percent === null ? `${said}.` : `${said}: ${percentText(percent)}.`;
  },
  consistent: ({ total, compared }) => {
    const found = compared ?? total;
    if (!found) return "No differences found.";
    return total > found ? `No differences in ${outOf(found, total)}.` : `No differences in ${tables(found)}.`;
  },
  inconsistent: ({ total, different, rows }) => {
    const said = different > 0 ? `${outOf(different, total)} ${differ(different)}` : "Source and destination differ";
    return rows > 0 ? `${said}: ${countText(rows)} different ${rows === 1 ? "row" : "rows"}.` : `${said}.`;
  },
  failed: ({ failed }) => (failed > 0 ? `${tables(failed)} could not be compared.` : "The data check itself failed."),
  unknown: () => "The result of the data check is not known.",
};

/**
 * Describe a record's data check; null if the record has none.
 *
 * `verdict` is a sentence about the state, `trouble` one about what else was found, `compared` the amount, `list` the
 * sentence above the tables in `worst`. If the task is over, nobody watches a data check that runs.
 */
export function dataCheck(record, isOver) {
  const check = fieldsOf(record);
  if (check === null) return null;
  const { state, total, compared, different, failed, worst } = check;
  const isRunning = state === "running";
  const sofar = isRunning ? " so far" : "";
  const trouble = [
    different > 0 && state !== "inconsistent" ? `${tables(different)} ${differ(different)}${sofar}.` : null,
    failed > 0 && state !== "failed" ? `${tables(failed)} could not be compared${sofar}.` : null,
  ].filter(Boolean);
  const known = (different ?? 0) + (failed ?? 0);
  const shown = worst.length < known ? `${worst.length} of ${tables(known)}` : tables(worst.length);
  return {
    ...check,
    isRunning,
    tone: isRunning && isOver ? "quiet" : TONES[state],
    verdict: VERDICTS[state](check, isOver),
    trouble: trouble.join(" ") || null,
    compared: compared === null || state === "consistent" ? null : `${outOf(compared, total)} compared`,
    list: `${shown} that ${worst.length === 1 && known <= 1 ? "differs" : "differ"} or could not be compared:`,
  };
}

/** A few words about a data check that found differences or failed; null for any other. */
export function dataCheckWord(record) {
  const state = record?.verification?.state;
  if (state !== "inconsistent" && state !== "failed") return null;
  const { different, failed } = fieldsOf(record);
  if (different > 0) return `${tables(different)} ${differ(different)}`;
  if (state === "inconsistent") return "Data differs";
  return failed > 0 ? `${tables(failed)} not compared` : "Data check failed";
}
