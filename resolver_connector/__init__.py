"""Delivery of stored iDs to organisations: connector, feed, transfers, attribute authority."""
