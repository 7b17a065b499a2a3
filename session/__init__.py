"""All that a musician has made, as one immutable state; and that as files."""
