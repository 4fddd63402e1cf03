"""Target kind `event_hubs`: publishes each event to an Azure Event Hub."""
