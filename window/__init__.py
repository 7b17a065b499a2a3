"""What a person sees and clicks: it reads the editor and calls its commands."""
