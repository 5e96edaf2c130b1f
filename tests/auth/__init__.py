"""Who may ask: tokens, JSON Web Tokens, scopes."""
