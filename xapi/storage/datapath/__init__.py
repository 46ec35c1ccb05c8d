"""The way of a guest's reads and writes: disks offered by NBD.

`nbd` is the protocol; `chain_export` what is offered; `server` serves one chain in a process of its own (`__main__`),
to be paused through `control`; `processes` keeps account of these processes, and `front` offers exports to backup
programs over TLS.
"""
