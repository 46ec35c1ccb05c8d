"""What can go wrong in a conversation with a viewer."""


class ProtocolError(Exception):
    """The other side spoke nonsense, or more than it may; hang up."""
