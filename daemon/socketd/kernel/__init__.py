"""Stateless readers of the kernel: bytes, paths and descriptors in; frozen records out."""
