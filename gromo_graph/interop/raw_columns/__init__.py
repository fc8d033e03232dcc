"""Networks with their preprocessing in one file: rows in, classes or values out."""
