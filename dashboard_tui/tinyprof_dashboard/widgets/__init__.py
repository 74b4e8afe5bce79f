"""What the screens are made of; none of these widgets knows where its data comes from."""
