"""Draw: classes drawn by hand, and what a run answers while a query is drawn."""
