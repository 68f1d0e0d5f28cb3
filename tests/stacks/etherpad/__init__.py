"""The Etherpad stack, end to end on the local cloud."""
