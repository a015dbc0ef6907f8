"""What happened, added up, and its exposition."""
