"""One training: its state, its step, the network that answers, and the net that runs them."""
