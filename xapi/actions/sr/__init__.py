"""Storage repositories (XenAPI's class SR): what each message does, and how rows follow what drivers find."""
