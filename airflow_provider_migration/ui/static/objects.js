// Texts and tables about the single objects of a migration.

import { countText, isObject, percentage, text } from "./format.js";

const MOST_OBJECTS = 20;

const NAMES = [
  { name: "Source", value: ({ source }) => text(source) },
  { name: "Destination", value: ({ destination }) => text(destination) },
];
const PERCENT = { name: "Percent", value: ({ percent }) => percentage(percent), isNumber: true };
const ERROR = { name: "Error", value: ({ error }) => text(error) };

/** The columns of the slowest objects, and of those that have failed. */
export const SLOWEST = [...NAMES, PERCENT];
export const FAILED = [...NAMES, PERCENT, ERROR];

/** The objects of a list that can be shown. */
export function objectsOf(list) {
  const isKnown = (object) => isObject(object) && NAMES.some(({ value }) => value(object) !== null);
  return (Array.isArray(list) ? list : []).filter(isKnown).slice(0, MOST_OBJECTS);
}

/** The sentence above the objects that have failed: more may have than the record names. */
export const failedLine = (count) => `${count < MOST_OBJECTS ? countText(count) : `The first ${countText(count)} that`} failed:`;
