"""A Kafka cluster in this process with a gate before it that has TLS and SASL, for the unmodified Kafka clients."""
