"""Motion capture, and what virtual cameras and detectors make of it."""
