"""Target kind `file`: appends each event to a file of JSON lines."""
