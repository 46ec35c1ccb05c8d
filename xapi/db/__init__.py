"""Rows in memory, changes made durable, and who is told of them."""
