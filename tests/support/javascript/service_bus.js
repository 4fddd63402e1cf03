// Sends, peeks, completes, uses a session and dead-letters; prints what it saw as one line of JSON.
const { ServiceBusClient } = require("@azure/service-bus");

const [connectionString] = process.argv.slice(2);

async function main() {
  const client = new ServiceBusClient(connectionString);
  const sender = client.createSender("queue.1");
  await sender.sendMessages([{ body: { a: 1 } }, { body: "x", messageId: "m2" }]);
  const receiver = client.createReceiver("queue.1");
  const peeked = (await receiver.peekMessages(5)).map((message) => message.body);
  const received = [];
  for (const message of await receiver.receiveMessages(2, { maxWaitTimeInMs: 20000 })) {
    received.push([message.body, message.messageId]);
    await receiver.completeMessage(message);
  }
  const left = (await receiver.peekMessages(5)).length;
  await client.createSender("queue.sessions").sendMessages({ body: "s", sessionId: "S1" });
  const session = await client.acceptSession("queue.sessions", "S1");
  const [held] = await session.receiveMessages(1, { maxWaitTimeInMs: 20000 });
  await session.setSessionState("noted");
  const state = await session.getSessionState();
  await session.deadLetterMessage(held, { deadLetterReason: "why" });
  await session.close();
  const dead = client.createReceiver("queue.sessions", { subQueueType: "deadLetter" });
  const [letter] = await dead.receiveMessages(1, { maxWaitTimeInMs: 20000 });
  await dead.completeMessage(letter);
  await client.close();
  console.log(JSON.stringify({ peeked, received, left, state: String(state), dead: [letter.body, letter.deadLetterReason] }));
}

main().catch((error) => { console.error(error); process.exit(1); });
