"""Drivers that keep virtual disks, and the disk formats."""
