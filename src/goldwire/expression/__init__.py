"""The `where:` expression of a contract: a subset of CEL, checked when it is loaded and compiled to Python."""
