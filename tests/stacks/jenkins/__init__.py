"""The Jenkins stack, end to end on the local cloud."""
