// Sends two events to an event hub and reads them back; prints what it saw as one line of JSON.
const { EventHubProducerClient, EventHubConsumerClient, earliestEventPosition } = require("@azure/event-hubs");

const [connectionString, hub] = process.argv.slice(2);

async function main() {
  const producer = new EventHubProducerClient(connectionString, hub);
  const properties = await producer.getEventHubProperties();
  const partition = await producer.getPartitionProperties(properties.partitionIds[0]);
  const batch = await producer.createBatch({ partitionKey: "k" });
  batch.tryAdd({ body: { a: 1 } });
  batch.tryAdd({ body: "x", properties: { n: 5 } });
  await producer.sendBatch(batch);
  const consumer = new EventHubConsumerClient("$Default", connectionString, hub);
  const seen = [];
  const subscription = consumer.subscribe(
    {
      processEvents: async (events) => { for (const event of events) seen.push([event.body, event.partitionKey, event.properties?.n ?? null]); },
      processError: async (error) => { seen.push(["error", error.message]); },
    },
    { startPosition: earliestEventPosition },
  );
  for (let tries = 0; tries < 200 && seen.length < 2; tries += 1) await new Promise((done) => setTimeout(done, 100));
  await subscription.close();
  await consumer.close();
  await producer.close();
  console.log(JSON.stringify({ partitions: properties.partitionIds.length, empty: partition.isEmpty, seen }));
}

main().catch((error) => { console.error(error); process.exit(1); });
