"""The core: what owns descriptors. Pure of HTTP, of /proc and of any event loop."""
