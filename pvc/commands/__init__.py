"""What each subcommand of ``pvc`` does; :mod:`pvc.cli` reads their arguments."""
