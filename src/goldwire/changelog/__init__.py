"""The durable log of versions, with entity heads, control table, open deliveries and counters."""
