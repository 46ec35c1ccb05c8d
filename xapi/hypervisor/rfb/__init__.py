"""Screens over the wire: the RFB protocol (RFC 6143) on the server's side, and text terminals shown through it.

Everything but `service` is pure: bytes in, bytes out, so that any stranger's bytes can be tried without a socket.
"""
