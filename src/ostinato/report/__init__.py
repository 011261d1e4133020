"""What is written for people and read back: folders that appear whole or not at all, pages and pictures."""
