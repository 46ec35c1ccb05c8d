"""A hypervisor that exists only in memory and in a journal, and behaves like a real one."""
