"""Links that an organisation attests, and lists of links."""
