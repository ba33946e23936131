"""The web studio: `server.WebAdapter` for the composition root, `signin.mint` for those who hand out links."""
