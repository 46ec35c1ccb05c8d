"""The journey that every call makes."""
