"""Between bytes and values: the two dialects of a declaration, customs' receipts, the gateway's own messages."""
