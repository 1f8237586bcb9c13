"""Delivery of stored iDs to organisations.

It has the connector, the feed, the transfers and the attribute authority.
"""
