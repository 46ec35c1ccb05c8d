"""Which operation is allowed when: pure tables."""
