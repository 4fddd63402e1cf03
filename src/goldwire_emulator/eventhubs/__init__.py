"""Event Hubs on the wire: the addresses of hubs, partitions and consumer groups, and what stands behind their links."""
