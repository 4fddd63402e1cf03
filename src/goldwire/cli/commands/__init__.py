"""The commands of `goldwire`, one file for each group."""
