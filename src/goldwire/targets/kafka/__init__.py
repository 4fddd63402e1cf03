"""Target kind `kafka`: writes each event to a topic of any Kafka-compatible broker."""
