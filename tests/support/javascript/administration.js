// Reads the entities of a namespace over the management API; prints what it saw as one line of JSON.
const { ServiceBusAdministrationClient } = require("@azure/service-bus");

const [connectionString] = process.argv.slice(2);

async function names(pages, name) {
  const found = [];
  for await (const one of pages) found.push(one[name]);
  return found;
}

async function main() {
  const client = new ServiceBusAdministrationClient(connectionString, { retryOptions: { maxRetries: 0 } });
  const queue = await client.getQueue("queue.1");
  const refused = await client.getQueue("none").catch((error) => error.code);
  console.log(JSON.stringify({
    queue: [queue.name, queue.maxDeliveryCount, queue.status],
    queues: await names(client.listQueues(), "name"),
    topics: await names(client.listTopics(), "name"),
    subscriptions: await names(client.listSubscriptions("topic.1"), "subscriptionName"),
    exists: [await client.queueExists("queue.1"), await client.queueExists("none")],
    refused,
  }));
}

main().catch((error) => { console.error(error); process.exit(1); });
