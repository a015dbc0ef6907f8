"""Which settings to serve with: tried in simulation, the best few confirmed on the machine."""
