"""What the web tools share: the database, the guarded application, who may do what, and serving it."""
