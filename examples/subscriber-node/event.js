// Reads an event and proves that it is what its sender sealed: members, canonical form (RFC 8785), hash.
"use strict";

const { createHash } = require("node:crypto");

const HASH = /^sha256:[0-9a-f]{64}$/;
const REASONS = ["deleted", "merged", "erased", "deselected"];

// A message that will fail again however often it comes. The text holds no value of a record.
class Poison extends Error {
  constructor(kind, text) {
    super(text);
    this.kind = kind;
  }
}

// The canonical form of a plain value. ECMAScript is what RFC 8785 takes its numbers, its escapes and its order from, so
// that JSON.stringify and the plain sort() are right as they are.
function canonical(value) {
  if (typeof value === "string" && !value.isWellFormed()) throw new Poison("unreadable", "a text that UTF-8 cannot carry");
  if (typeof value === "number" && !Number.isFinite(value)) throw new Poison("unreadable", "a number that is too large");
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  const members = Object.keys(value).sort().map((name) => `${canonical(name)}:${canonical(value[name])}`);
  return `{${members.join(",")}}`;
}

// Returns the verified event in a message's bytes; throws Poison.
function read(bytes) {
  let text, event, spelling;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    event = JSON.parse(text);
    spelling = canonical(event);
  } catch (error) {
    throw new Poison("unreadable", error instanceof Poison ? error.message : "no JSON in UTF-8");
  }
  const fault = faultOf(event);
  if (fault) throw new Poison("unreadable", `no event: ${fault}`);
  // Goldwire sends the canonical form itself. In another spelling JSON.parse could hide something: of a member that stands
  // twice it keeps the last, and a number of many digits it rounds.
  if (spelling !== text) throw new Poison("altered", `entity ${event.entityId}, version ${event.version}: not in canonical form`);
  const { hash, ...rest } = event;
  if (hash !== `sha256:${createHash("sha256").update(canonical(rest)).digest("hex")}`) {
    throw new Poison("altered", `entity ${event.entityId}, version ${event.version}: the hash does not fit the content`);
  }
  return event;
}

function faultOf(event) {
  if (event === null || typeof event !== "object" || Array.isArray(event)) return "not an object";
  if (event.specVersion !== "cluedin-1.0") return "another specVersion";
  if (!Number.isSafeInteger(event.version) || event.version < 1) return "version";
  for (const name of ["entityId", "entityType", "timestamp"]) if (typeof event[name] !== "string") return name;
  if (!["delta", "full"].includes(event.payload)) return "payload";
  if (!Array.isArray(event.externalIds)) return "externalIds";
  if (!HASH.test(event.hash)) return "hash";
  if (event.previousHash !== null && !HASH.test(event.previousHash)) return "previousHash";
  if (event.eventType === "EntityDeleted") return REASONS.includes(event.reason) && event.changes === undefined ? null : "reason";
  if (event.eventType !== "EntityChanged" || event.reason !== undefined) return "eventType";
  return isPlainObject(event.changes) && isPlainObject(event.changes.attributes) ? null : "changes";
}

function isPlainObject(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

module.exports = { Poison, canonical, read };
