"""Published results, run again: each experiment's claim beside what our scheduler and cost model give."""
