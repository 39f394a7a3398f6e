"""`socketd run`: starts the keeper and the daemon, sees to both, and knows neither gunicorn nor gevent."""
