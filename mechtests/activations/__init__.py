"""Reading activations in a forward pass, and changing them."""
