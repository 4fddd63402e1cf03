"""What a store can be asked for: one protocol for each concern, and `Store`, which is all of them."""
