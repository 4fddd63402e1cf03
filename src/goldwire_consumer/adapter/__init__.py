"""Connects a consumer to a broker with the vendor's own client: one file each, needed only where it is used."""
