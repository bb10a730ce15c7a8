"""Where images come from, and how episodes are drawn from them; no learning in here."""
