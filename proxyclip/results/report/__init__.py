"""HTML report of a folder of results: one page without other files or a server."""
