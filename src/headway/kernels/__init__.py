"""Arithmetic of ours, compiled, beside torch's. Optional: without it everything runs on torch's parts."""
