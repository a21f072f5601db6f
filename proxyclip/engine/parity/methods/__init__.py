"""Cases of the methods, a method a file: `CASES`, a tuple of `ParityCase`."""
