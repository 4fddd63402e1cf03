"""One file a revision. A new store is created at the newest; these bring an older one there."""
