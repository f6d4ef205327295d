"""What a finished run says: statistics over seeds and the figures that show them."""
