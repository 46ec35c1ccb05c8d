"""Performance data: round-robin archives and where the numbers come from."""
