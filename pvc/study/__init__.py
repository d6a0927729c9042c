"""Two-alternative forced choice: which of two encodes do people prefer, and how sure is that."""
