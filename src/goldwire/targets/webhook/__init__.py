"""Target kind `webhook`: POSTs events to a URL, signed as Standard Webhooks."""
