"""Which devices, laid out how, keep a promise for the least money: candidates, simulated and compared."""
