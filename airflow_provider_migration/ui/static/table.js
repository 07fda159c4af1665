// A table that its column heads sort, and its rows as a CSV file.
//
// A column has a `name`, the `value` of a row (text, number, or null for an unknown value), and `isNumber`.

import { countText } from "./format.js";
import { make, say, setList } from "./parts.js";

const collator = new Intl.Collator("en", { numeric: true });
const tables = new WeakMap(); // rows and order by the element that contains the table

/**
 * Show rows in a table. A click on a column sorts, a second click reverses the order, a third restores it.
 *
 * The order, the focus and the position of a screen reader are kept when new rows are shown in the same element.
 */
export function showTable(place, columns, rows) {
  if (!tables.has(place)) {
    tables.set(place, { column: null, direction: 1 });
    place.replaceChildren(make("table", {}, make("thead", {}, make("tr", {}, ...columns.map((column) => makeHead(place, column)))), make("tbody")));
  }
  Object.assign(tables.get(place), { columns, rows });
  update(place);
}

/** The rows of an element's table, in the order of the screen. */
export function sortedRows(place) {
  const { columns, rows, column, direction } = tables.get(place);
  if (column === null) return rows;
  const { value } = columns[column];
  return rows.toSorted((one, other) => compare(value(one), value(other), direction));
}

/** Compare two texts or two numbers. Unknown values come last in either direction. */
function compare(one, other, direction) {
  if (one === null || other === null) return Number(one === null) - Number(other === null);
  return direction * (typeof one === "number" ? one - other : collator.compare(one, other));
}

const kindOf = ({ isNumber }) => (isNumber ? { class: "number" } : {});

function makeHead(place, column) {
  const button = make("button", { type: "button" }, column.name);
  button.addEventListener("click", () => sortBy(place, button.parentElement.cellIndex));
  return make("th", { scope: "col", ...kindOf(column) }, button);
}

function sortBy(place, column) {
  const table = tables.get(place);
  if (table.column !== column) Object.assign(table, { column, direction: 1 });
  else if (table.direction === 1) table.direction = -1;
  else Object.assign(table, { column: null, direction: 1 });
  update(place);
}

function update(place) {
  const { columns, column, direction } = tables.get(place);
  const { tHead, tBodies } = place.firstElementChild;
  [...tHead.rows[0].cells].forEach((head, i) => {
    if (i !== column) head.removeAttribute("aria-sort");
    else head.setAttribute("aria-sort", direction === 1 ? "ascending" : "descending");
  });
  const makeRow = () => make("tr", {}, ...columns.map((one, i) => (i === 0 ? make("th", { scope: "row" }) : make("td", kindOf(one)))));
  setList(tBodies[0], sortedRows(place), makeRow, (row, item) => {
    columns.forEach(({ value }, i) => say(row.cells[i], shown(value(item))));
  });
}

function shown(value) {
  if (value === null) return "–";
  return typeof value === "number" ? countText(value) : value;
}

/** Characters at the start of a cell that make a spreadsheet run it as a formula; the last four are full-width. */
const FORMULA = /^[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/;

/** Rows of texts, numbers and nulls as CSV (RFC 4180); a text that a spreadsheet would run gets an apostrophe. */
export function csvText(rows) {
  const cell = (value) => {
    const text = typeof value === "string" && FORMULA.test(value) ? `'${value}` : String(value ?? "");
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return rows.map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}

const LONGEST_PART = 64; // characters

/** A file name of safe characters, without the parts that are null. */
export function fileName(parts, extension) {
  const safe = parts.map((part) => (part ?? "").replace(/[^A-Za-z0-9_-]+/g, "-").slice(0, LONGEST_PART).replace(/^-+|-+$/g, ""));
  return `${safe.filter(Boolean).join("-")}.${extension}`;
}

/** Let the browser save rows as a CSV file. */
export function saveCsv(name, columns, rows) {
  const text = csvText([columns.map((column) => column.name), ...rows.map((row) => columns.map(({ value }) => value(row)))]);
  // The byte order mark tells Excel that the file is UTF-8.
  const url = URL.createObjectURL(new Blob(["\ufeff", text], { type: "text/csv;charset=utf-8" }));
  // Some releases of Airflow show this page in a frame that forbids downloads, so the link is clicked outside of it.
  const outside = window.parent.document;
  const link = outside.createElement("a");
  link.href = url;
  link.download = name;
  outside.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
