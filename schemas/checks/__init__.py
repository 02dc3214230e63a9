"""What is wrong with a declaration, all of it, with file, line and the nearest right thing."""
