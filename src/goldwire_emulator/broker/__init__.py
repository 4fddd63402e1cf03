"""The entities of the local Azure: hubs, queues, topics and subscriptions, without any wire; durable on SQLite."""
