"""Target kinds of Azure: Event Hubs and Service Bus, and what they share."""
