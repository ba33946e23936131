"""Measurements, each a script that prints ratios or percentiles of one run. Nothing here is asserted in tests."""
