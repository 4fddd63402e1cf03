"""Service Bus over AMQP: what stands behind the links of queues, topics and subscriptions."""
