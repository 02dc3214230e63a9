"""Who may ask for what: API keys, their scopes and the streams that they are bound to."""
