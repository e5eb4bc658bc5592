"""What the scenarios of the matrix are made of: the nouns they share. Registers nothing."""
