"""Everything that touches the world: ways in, codecs, bus, store, feeds, printers."""
