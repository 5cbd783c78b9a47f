"""The papers: what was published, and which specs make up each table and figure."""
