"""The node half: runs alone beside one Xray and decides who may use it."""
