"""AMQP 1.0 as a server: types, frames, connections, sessions and links, without any knowledge of hubs and queues."""
