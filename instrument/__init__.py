"""The window: sequencer, pattern editor, view, files."""
