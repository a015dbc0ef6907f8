"""The HTTP face of an engine that runs in a process of its own."""
