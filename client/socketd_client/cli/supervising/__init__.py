"""``socketctl run``: a parent that keeps one program on the same sockets, one thread and one poll."""
