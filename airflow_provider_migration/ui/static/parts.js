// Page elements. Texts from services and users are inserted as text, never as markup.

import { AIRFLOW, now, path } from "./api.js";
import { ago, clock, stateOf } from "./format.js";

/** Create an element with attributes and children (elements or texts). */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Set a text only if it differs, to keep a selection and a screen reader's position. */
export function say(element, value) {
  if (element.textContent !== value) element.textContent = value;
}

/** Show a text in an element, or hide the element. */
export function sayOrHide(element, value, within = element) {
  element.hidden = value === null;
  say(within, value ?? "");
}

/** Show a state, with the number of migrations in it if there are several. */
export function setBadge(element, state, number = null) {
  const { label, tone } = stateOf(state);
  say(element, number === null ? label : `${number} ${label}`);
  element.className = `badge ${tone}`;
}

export const makeBar = () => make("div", { class: "bar" }, make("span"));

/** Update a bar; null means an unknown percent. */
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

/** Synchronise a list's children with items: `begin` creates a child, `update` fills it. */
export function setList(list, items, begin, update) {
  while (list.children.length > items.length) list.lastElementChild.remove();
  while (list.children.length < items.length) list.append(begin());
  items.forEach((item, i) => update(list.children[i], item));
}

/**
 * Give an element exactly these children, in this order.
 *
 * Children that stay in place are not touched: they keep their layout, the focus and the position of a screen
 * reader.
 */
export function arrange(parent, children) {
  const wanted = new Set(children);
  const focused = document.activeElement;
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  let place = parent.firstElementChild;
  for (const child of children) {
    // A child that has moved down is removed, instead of moving up all that follow it.
    if (place !== null && place !== child && place.nextElementSibling === child) {
      place.remove();
      place = child;
    }
    if (place === child) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
  }
  if (focused !== document.activeElement && focused?.isConnected) focused.focus({ preventScroll: true });
}

/** Show the age of a point in time; `tickAges` keeps it current. */
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
  say(age, ago((now() - Date.parse(age.dateTime)) / 1000));
}

/** Update every age once a second. */
export function tickAges(also = () => {}) {
  setInterval(() => {
    if (document.hidden) return;
    document.querySelectorAll("time[datetime]").forEach(tickOne);
    also();
  }, 1000);
}

/** Draw points `[epoch seconds, value]` from 0 to `top`, or nothing for too few; `said` formats a value. */
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

/** Airflow's pages of a DAG, a task, a task's log and its Migration tab. */
export const addressOf = {
  dag: (task) => address(path("dags", task.dag)),
  task: (task) => address(taskPath(task)),
  tab: (task) => address(`${taskPath(task)}/plugin/migration`),
  log: (task) => address(taskPath(task)),
};

const address = (where) => new URL(where, AIRFLOW).href;

function taskPath(task) {
  // The encoding that Airflow itself uses for run ids; otherwise it does not highlight the open tab.
  const where = path("dags", task.dag, "runs", task.run, "tasks", task.task).replaceAll("%3A", ":").replaceAll("%2B", "+");
  return task.mapIndex >= 0 ? `${where}/mapped/${task.mapIndex}` : where;
}

/** A safe http(s) URL, or null: a record's text may be anything. */
export function webAddress(value) {
  const url = typeof value === "string" && URL.canParse(value) ? new URL(value) : null;
  return url && ["http:", "https:"].includes(url.protocol) && !url.username ? url.href : null;
}

/**
 * Open links outside of the frame.
 *
 * Airflow shows this page in a sandboxed frame, which may neither navigate its top window nor open another one.
 * The frame has the same origin as the page around it, so links are clicked there.
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
