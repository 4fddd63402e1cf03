"""One module for each use case; services return structs, raise domain errors, and print nothing."""
