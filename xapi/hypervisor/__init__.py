"""Drivers that run guests, and the plans they follow."""
