"""The XVA format: a tar with a description of the objects and the disks in blocks. Pure: no rows, no sockets."""
