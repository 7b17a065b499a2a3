"""Time-frequency transforms, and the search for the phase that a magnitude has lost."""
