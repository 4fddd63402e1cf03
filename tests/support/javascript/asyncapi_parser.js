// Parses a document with the AsyncAPI Initiative's own parser; prints its complaints and what it found, as one line of JSON.
const { readFileSync } = require("node:fs");
const { Parser } = require("@asyncapi/parser");

async function main() {
  const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf8"));
  const found = { complaints: diagnostics.map((one) => [one.severity, one.code, one.message, one.path.join("/")]) };
  if (document) {
    found.version = document.version();
    found.servers = document.servers().all().map((one) => [one.id(), one.host(), one.protocol()]);
    found.messages = document.operations().all().map((one) => [one.id(), one.action(), one.messages().all().map((m) => m.name())]);
  }
  console.log(JSON.stringify(found));
}

main();
