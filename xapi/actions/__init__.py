"""What each message does: one module or package for each XenAPI class."""
