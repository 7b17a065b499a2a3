"""Time and sound: bars and a kit become samples, in a file or live."""
