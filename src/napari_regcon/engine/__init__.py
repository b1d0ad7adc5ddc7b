"""Procedures that use torch: devices, weights, features, segmenters and whole-volume work."""
