"""Servers and their clients: where a server listens, what it admits, and to which server a key is sent."""
