// Pieces of a page. Texts from services and users go in as text, never as markup.

import { AIRFLOW, path } from "./api.js";
import { ago, clock, stateOf } from "./format.js";

/** Make an element with attributes, and children that are elements or texts. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Set a text where it differs, so that a screen reader's place and a selection stay. */
export function say(element, value) {
  if (element.textContent !== value) element.textContent = value;
}

/** Show a text in an element, or hide the element. */
export function sayOrHide(element, value, within = element) {
  element.hidden = value === null;
  say(within, value ?? "");
}

export function setBadge(element, state) {
  const { label, tone } = stateOf(state);
  say(element, label);
  element.className = `badge ${tone}`;
}

export const makeBar = () => make("div", { class: "bar" }, make("span"));

/** Set a bar; a percent of null is one that is not known. */
export function setBar(element, { percent, label, tone, valueText }) {
  element.setAttribute("role", "progressbar");
  element.setAttribute("aria-label", label);
  element.setAttribute("aria-valuemin", "0");
  element.setAttribute("aria-valuemax", "100");
  if (percent === null) {
    element.removeAttribute("aria-valuenow");
    element.setAttribute("aria-valuetext", valueText ?? "not known");
  } else {
    element.setAttribute("aria-valuenow", String(percent));
    element.setAttribute("aria-valuetext", valueText ?? `${percent} %`);
  }
  element.classList.remove("busy", "good", "warn", "bad", "quiet");
  element.classList.add(tone);
  element.firstElementChild.style.width = `${percent ?? 0}%`;
}

/** Keep a list's children in step with some items: `begin` makes a child, `update` fills it in. */
export function setList(list, items, begin, update) {
  while (list.children.length > items.length) list.lastElementChild.remove();
  while (list.children.length < items.length) list.append(begin());
  items.forEach((item, i) => update(list.children[i], item));
}

/** Make an element that says how long ago something was; `tick` keeps it true. */
export function setAge(element, milliseconds, before = "") {
  if (milliseconds === null) {
    element.replaceChildren("not known");
    return;
  }
  let age = element.querySelector("time");
  if (!age) element.replaceChildren(before, (age = make("time")));
  age.dateTime = new Date(milliseconds).toISOString();
  age.title = clock(milliseconds);
  tickOne(age);
}

function tickOne(age) {
  say(age, ago((Date.now() - Date.parse(age.dateTime)) / 1000));
}

/** Keep every age true, second by second. */
export function tickAges(also = () => {}) {
  setInterval(() => {
    if (document.hidden) return;
    document.querySelectorAll("time[datetime]").forEach(tickOne);
    also();
  }, 1000);
}

/** Draw points `[epoch seconds, value]` from 0 to `top`, or nothing where they are too few; `said` puts a value into words. */
export function chart(points, top, said, label) {
  const span = points.length > 1 ? points.at(-1)[0] - points[0][0] : 0;
  if (span <= 0) return null;
  const scale = make("div", { class: "scale number quiet", "aria-hidden": "true" }, make("span", {}, said(top)), make("span", {}, said(0)));
  return make("div", { class: "chart" }, scale, sparkline(points, span, top, label));
}

function sparkline(points, span, top, label) {
  const WIDTH = 300;
  const HEIGHT = 48;
  const place = ([at, value]) => [
    (((at - points[0][0]) / span) * WIDTH).toFixed(1),
    (HEIGHT - 1 - Math.min(Math.max(value / top, 0), 1) * (HEIGHT - 3)).toFixed(1),
  ];
  const line = points.map((point) => place(point).join(" ")).join(" L ");
  const svg = draw("svg", { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none" });
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", label);
  svg.append(
    draw("path", { class: "area", d: `M 0 ${HEIGHT} L ${line} L ${WIDTH} ${HEIGHT} Z` }),
    draw("path", { class: "line", d: `M ${line}` }),
  );
  return svg;
}

function draw(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** Where Airflow shows a DAG, a task, or a task's Migration tab. */
export const addressOf = {
  dag: (task) => address(path("dags", task.dag)),
  task: (task) => address(taskPath(task)),
  tab: (task) => address(`${taskPath(task)}/plugin/migration`),
  log: (task) => address(taskPath(task)),
};

const address = (where) => new URL(where, AIRFLOW).href;

function taskPath(task) {
  // As Airflow writes run ids itself; otherwise it does not mark the tab that is open.
  const where = path("dags", task.dag, "runs", task.run, "tasks", task.task).replaceAll("%3A", ":").replaceAll("%2B", "+");
  return task.mapIndex >= 0 ? `${where}/mapped/${task.mapIndex}` : where;
}

/** An address that a person can open, or null: a record's text may be anything. */
export function webAddress(value) {
  const url = typeof value === "string" && URL.canParse(value) ? new URL(value) : null;
  return url && ["http:", "https:"].includes(url.protocol) && !url.username ? url.href : null;
}

/**
 * Let links leave the frame.
 *
 * Airflow shows this page in a sandboxed frame, which may neither lead its top window elsewhere nor open another.
 * It may reach the page around it, being of the same origin: so a link is followed from there, as if it stood there.
 */
export function followLinksOutside() {
  if (window.parent === window) return;
  const follow = (event) => {
    const link = event.target.closest?.("a[href]");
    if (!link || event.defaultPrevented || event.button > 1) return;
    event.preventDefault();
    const outside = window.parent.document;
    const twin = outside.createElement("a");
    twin.href = link.href;
    twin.rel = "noopener noreferrer";
    const isElsewhere = link.target === "_blank" || event.button === 1 || event.ctrlKey || event.metaKey || event.shiftKey;
    twin.target = isElsewhere ? "_blank" : "_self";
    outside.body.append(twin);
    twin.click();
    twin.remove();
  };
  document.addEventListener("click", follow);
  document.addEventListener("auxclick", follow);
}
