"""What lies on disk: which files a data set has, whether they are whole, and what their labels say. No MMLab here."""
