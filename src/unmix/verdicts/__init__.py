"""What a paper's numbers say: against each other, and against the evidence."""
