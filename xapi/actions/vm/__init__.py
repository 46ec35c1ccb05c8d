"""What the messages of XenAPI's class VM do."""
