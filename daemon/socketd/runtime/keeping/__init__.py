"""The daemon's side of the keeper: what it is told, and what is had back from it at start."""
