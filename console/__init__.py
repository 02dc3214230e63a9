"""The console: pages for the people who work on cases. A client of the HTTP API, at the top of everything."""
