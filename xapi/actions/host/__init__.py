"""What the messages of XenAPI's class host do."""
