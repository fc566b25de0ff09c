"""Form and certificate to layout, layout to page, page to signed file."""
