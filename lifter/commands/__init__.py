"""One command a file; `lifter.__main__` collects them."""
