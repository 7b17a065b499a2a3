"""The state of the instrument, and every command on it: no pixels, no toolkit."""
