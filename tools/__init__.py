"""Tools that make and measure what the project ships; not needed to run the application."""
