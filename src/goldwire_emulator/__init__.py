"""A local Azure: Event Hubs and Service Bus on loopback, for the real SDKs, without containers."""
