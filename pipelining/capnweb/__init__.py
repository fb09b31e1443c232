"""Cap'n Web: the protocol of the official JavaScript client, as a session that does no I/O."""
