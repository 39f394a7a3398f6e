"""REST: the only package that knows Flask and marshmallow."""
