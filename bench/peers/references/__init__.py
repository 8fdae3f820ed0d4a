"""Token loops in float64, from the definitions, with their gradients; a file a family."""
