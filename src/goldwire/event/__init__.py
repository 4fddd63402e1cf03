"""The sealed event: envelope, canonical form, hash chain, headers, verification."""
