"""Wire formats, the HTTP server, and calls to other hosts."""
