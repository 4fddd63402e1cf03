"""The shape of `goldwire.yaml`, its reader, and what is wrong with it, each with its location."""
