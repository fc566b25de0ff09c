"""An enterprise that declares."""
