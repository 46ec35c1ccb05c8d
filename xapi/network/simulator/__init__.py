"""A host's networking that exists only in memory and in a journal, and refuses what a kernel would refuse."""
