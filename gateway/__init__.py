"""What a certificate's life is, and the loop that lives it."""
