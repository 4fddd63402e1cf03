"""What one target may see, and in what shape: selection, projection and masks, compiled once."""
