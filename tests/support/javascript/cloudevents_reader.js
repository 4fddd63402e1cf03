// Reads HTTP requests with the CloudEvents SDK for JavaScript; prints what it found in each, as one line of JSON.
const { readFileSync } = require("node:fs");
const { HTTP } = require("cloudevents");

const found = JSON.parse(readFileSync(process.argv[2], "utf8")).map((request) => {
  const read = HTTP.toEvent(request);
  const batch = Array.isArray(read);
  const events = (batch ? read : [read]).map((one) => {
    one.validate();
    return [one.source, one.id, one.type, one.version, one.data];
  });
  return { batch, events };
});
console.log(JSON.stringify(found));
