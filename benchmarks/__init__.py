"""Benchmarks of speed and memory; never run by the tests."""
