"""What one person proposes and another approves, where the project asks for two."""
