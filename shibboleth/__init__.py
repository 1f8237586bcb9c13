"""WHO. People and organisations as the federation tells them."""
