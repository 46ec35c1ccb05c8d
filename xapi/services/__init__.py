"""Things that happen by themselves."""
