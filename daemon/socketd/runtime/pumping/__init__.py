"""Tunnels and forwards at the kernel's speed: one thread that splices between all joined sockets."""
