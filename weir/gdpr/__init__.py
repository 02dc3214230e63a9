"""``weir gdpr``: what is held about somebody, and its end. See docs/privacy.md."""
