"""Disks as VHD files in a directory: the SR types `file` and `ext`, and the base of every other driver over files."""
