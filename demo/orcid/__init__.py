"""A simulator of ORCID: the pages, the OAuth endpoints and the record API.

It behaves like the sandbox, with made-up people. It stands for an outside system, so it shares no code with the service
and keeps iDs as text. It has a look of its own, and every page says "simulator".

    simulator.py     state: clients, people, codes, tokens, sessions, clock, options
    people.py        the made-up people
    authorize.py     authorisation endpoint          account.py         the person's pages
    tokens.py        token and revoke endpoints      oidc.py jwt.py     OpenID Connect
    record.py affiliations.py errors.py              record API
    faults.py        faults that can be armed        call_log.py        received requests
    rate_limits.py   rate limits                     client.py          in-process browser, for tests
    admin.py         control by HTTP                 app.py             the WSGI application
"""
