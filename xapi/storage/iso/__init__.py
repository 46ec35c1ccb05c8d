"""The SR type `iso`: CD images in a directory of this host or of a file server."""
