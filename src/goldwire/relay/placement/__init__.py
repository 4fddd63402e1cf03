"""Who may deliver where: the rule of ADR 34, from what the store keeps of it to what the relay asks."""
