"""A file for each command, with its flags. What a command does is imported when it runs, since that takes a while."""
