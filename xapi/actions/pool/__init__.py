"""What the messages of XenAPI's class pool do."""
