"""Facts become golden records: identity, survivorship, merge and unmerge, and what changed."""
