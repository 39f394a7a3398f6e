"""The shapes of requests and answers; openapi.yaml is made of them."""
