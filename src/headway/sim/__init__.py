"""The virtual world: the engine's own scheduler on a clock that moves when told to. Never imports torch."""
