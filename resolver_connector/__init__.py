"""Delivery of stored iDs: connector, feed, transfers and attribute authority."""
