// Keeps what is held, and how far each partition was read, in one file: both are there after a crash, or neither.
"use strict";

const fs = require("node:fs");
const path = require("node:path");

class State {
  constructor(folder) {
    fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
    this.folder = folder;
    const file = path.join(folder, "state.json");
    const found = fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, "utf8")) : { entities: [], positions: [] };
    this.entities = new Map(found.entities);
    this.positions = new Map(found.positions); // the offset of the last event of each partition
  }

  // The whole file is written anew and takes the old one's name: simple, and enough for some ten thousand entities.
  save() {
    const text = JSON.stringify({ entities: [...this.entities], positions: [...this.positions] });
    this.write("state.new", "w", text);
    fs.renameSync(path.join(this.folder, "state.new"), path.join(this.folder, "state.json"));
    const folder = fs.openSync(this.folder, "r");
    fs.fsyncSync(folder);
    fs.closeSync(folder);
  }

  // Called before save(): a crash in between brings the message again, and the letter can then stand there twice.
  setAside(kind, text, source, body) {
    const bytes = Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body) ?? "");
    const letter = { kind, text, source, body: bytes.toString("base64"), recordedAt: new Date().toISOString() };
    this.write("dead-letters.jsonl", "a", `${JSON.stringify(letter)}\n`);
  }

  write(name, flags, text) {
    const file = fs.openSync(path.join(this.folder, name), flags, 0o600);
    fs.writeFileSync(file, text);
    fs.fsyncSync(file);
    fs.closeSync(file);
  }
}

module.exports = { State };
