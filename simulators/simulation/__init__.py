"""The gateway's own core, turn, door, print room and loops in a world where every failure is drawn from one seed."""
