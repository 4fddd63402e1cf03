"""What users import to test a target or a store of their own: the published suites and the fakes."""
