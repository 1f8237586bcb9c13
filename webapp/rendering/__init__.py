"""Templates, static files and branding."""
