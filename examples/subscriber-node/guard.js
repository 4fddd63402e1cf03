// Decides what an event means for what is held of its entity, and applies it. Nothing here knows a broker or a disk.
"use strict";

const { canonical } = require("./event");

// What is held of an entity. `gone` is the reason of its tombstone, which stays: a late event must not bring it back.
// `waiting` are events whose predecessor did not come yet.
const NOTHING = { version: 0, hash: null, gone: null, mergedInto: null, record: null, waiting: [] };

// The version says whether an event is news. The chain says whether one is missing before it: versions may skip, the chain not.
function decide(held, event) {
  const isWhole = event.eventType === "EntityDeleted" || event.payload === "full";
  if (event.version > held.version) return event.previousHash === held.hash || isWhole ? "apply" : "wait";
  if (event.version < held.version || event.hash === held.hash) return "ignore";
  if (event.previousHash === held.hash) return "link"; // the version that is held, sent once more: the chain goes on from it
  const isGoneForGood = held.gone !== null && held.gone !== "deselected" && event.eventType !== "EntityDeleted";
  return event.previousHash === null && isWhole && !isGoneForGood ? "apply" : "ignore"; // a new target begins a chain anew
}

// Returns what is held after an event, and the events that were applied: none, this one, or also some that waited for it.
function take(held = NOTHING, event) {
  const applied = [];
  let now = held;
  let left = [event];
  while (left.length > 0) {
    const [next, ...others] = left;
    left = others;
    const verdict = decide(now, next);
    if (verdict === "link") now = { ...now, hash: next.hash };
    if (verdict === "wait") now = { ...now, waiting: inOrder([...now.waiting.filter((one) => one.hash !== next.hash), next]) };
    if (verdict !== "apply" && verdict !== "link") continue;
    if (verdict === "apply") {
      now = { ...written(now, next), waiting: now.waiting };
      applied.push(next);
    }
    left = [...left, ...now.waiting];
    now = { ...now, waiting: [] };
  }
  return { held: now, applied };
}

function inOrder(events) {
  return events.sort((one, other) => one.version - other.version);
}

function written(held, event) {
  return {
    version: event.version,
    hash: event.hash,
    gone: event.reason ?? null,
    mergedInto: event.mergedInto ?? null,
    record: event.changes ? fold(event.payload === "delta" ? held.record : null, event) : null,
  };
}

// A full event replaces the record, a delta is put upon it; an attribute without a value is gone.
function fold(record, event) {
  const attributes = new Map(Object.entries(record?.attributes ?? {}));
  for (const [name, attribute] of Object.entries(event.changes.attributes)) {
    if (attribute.value === null && event.payload === "delta") attributes.delete(name);
    else attributes.set(name, attribute);
  }
  const edges = new Map((record?.edges ?? []).map((edge) => [canonical(edge), edge]));
  for (const { op, ...edge } of event.changes.edges ?? []) {
    if (op === "removed") edges.delete(canonical(edge));
    else edges.set(canonical(edge), edge);
  }
  return { attributes: Object.fromEntries(attributes), edges: [...edges.values()], externalIds: event.externalIds };
}

module.exports = { decide, take };
