"""What a reader sees: tables, figures, players."""
