"""The core, which owns descriptors and is pure of HTTP, of /proc and of any event loop."""
