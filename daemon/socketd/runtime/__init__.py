"""Process life: configuration, gunicorn, gevent and systemd."""
