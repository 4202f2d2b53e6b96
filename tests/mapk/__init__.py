"""MC-MAPk: its networks, its estimator, its two-stage mode and its ablations."""
