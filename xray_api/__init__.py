"""Access to VPN nodes: the wire, the back-end half, the node half, and a user in miniature."""
