"""Everything with a forward: towers, attentions, segmentors, and what they share."""
