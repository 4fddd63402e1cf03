// Mirrors golden records from an Event Hub into a file. It knows the wire format, and nothing else of Goldwire.
//
//   EVENT_HUBS_CONNECTION="Endpoint=sb://…" node subscriber.js HUB FOLDER [CONSUMER_GROUP]
"use strict";

const { EventHubConsumerClient, earliestEventPosition } = require("@azure/event-hubs");

const { Poison, read } = require("./event");
const { take } = require("./guard");
const { State } = require("./state");

const [hub, folder, group = "$Default"] = process.argv.slice(2);
const connection = process.env.EVENT_HUBS_CONNECTION;

// No `await` in here: what one call does is not mixed with what another partition brings, and is saved as one.
function handle(messages, { partitionId }, state) {
  for (const { body, offset } of messages) {
    const source = `${hub}/${partitionId}@${offset}`;
    try {
      takeOne(read(body), state);
    } catch (error) {
      if (!(error instanceof Poison)) throw error;
      state.setAside(error.kind, error.message, source, body);
      console.log(`dead letter (${error.kind}) from ${source}: ${error.message}`);
    }
    state.positions.set(partitionId, offset);
  }
  if (messages.length > 0) state.save();
}

function takeOne(event, state) {
  const { held, applied } = take(state.entities.get(event.entityId), event);
  state.entities.set(event.entityId, held);
  for (const one of applied) console.log(`applied ${one.entityType} ${one.entityId} version ${one.version}`);
  if (held.waiting.includes(event)) {
    console.log(`entity ${event.entityId}: an event after version ${held.version} is missing; ask for a replay of it`);
  }
}

async function main() {
  if (!hub || !folder || !connection) {
    console.error("usage: EVENT_HUBS_CONNECTION=… node subscriber.js HUB FOLDER [CONSUMER_GROUP]");
    process.exit(2);
  }
  const state = new State(folder);
  const client = new EventHubConsumerClient(group, connection, hub);
  const startPosition = {};
  for (const partition of await client.getPartitionIds()) {
    const offset = state.positions.get(partition);
    startPosition[partition] = offset === undefined ? earliestEventPosition : { offset, isInclusive: false };
  }
  const end = async (code) => {
    await subscription.close();
    await client.close();
    process.exit(code);
  };
  const subscription = client.subscribe(
    {
      // An error in here ends the program: nothing of the batch was saved, and it comes again at the next start.
      processEvents: async (messages, context) => {
        try {
          handle(messages, context, state);
        } catch (error) {
          console.error(error);
          await end(1);
        }
      },
      processError: async (error) => console.error(error.message), // the SDK tries again by itself
    },
    { startPosition, maxBatchSize: 100, maxWaitTimeInSeconds: 1, skipParsingBodyAsJson: true },
  );
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => end(0));
}

main().catch((error) => { console.error(error.message); process.exit(1); });
