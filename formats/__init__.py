"""Files to arrays and back: bars, MIDI, scores, pictures of bars, audio, checkpoints."""
