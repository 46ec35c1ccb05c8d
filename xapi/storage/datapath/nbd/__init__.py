"""The NBD protocol, server's side: `protocol` is the bytes, `negotiation` the handshake, `connection` a client's turn.

Source of the rules: doc/proto.md of NetworkBlockDevice/nbd.
"""
