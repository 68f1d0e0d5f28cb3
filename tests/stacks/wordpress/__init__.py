"""The WordPress stack, end to end on the local cloud."""
