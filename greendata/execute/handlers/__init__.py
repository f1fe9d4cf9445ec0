"""One handler a kind of action; ``HANDLERS`` is where the engine finds them."""
