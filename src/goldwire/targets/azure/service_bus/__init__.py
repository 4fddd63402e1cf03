"""Target kind `service_bus`: sends each event to an Azure Service Bus queue or topic."""
