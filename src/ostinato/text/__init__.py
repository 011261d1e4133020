"""Texts: classified by recurrent networks, with an honest account of what that is worth."""
