"""The commands of ``socketctl``, those that belong together in one module; imported when one is called."""
