"""The way of the records from board to store, and where each of them is: decisions; its screen draws them."""
