"""The pages, one module each: ``add`` puts its paths into the application."""
