"""Weights, decoder, attention and sampling in torch. Knows no scheduler."""
