"""A simulator of ORCID: what a person's browser and a client program meet at the sandbox, made up and on this machine.

It stands in for the world outside, so it shares no code with the service and keeps iDs as bare text.
The looks are its own, every page says "simulator", and its people are invented.

    world.py      what it knows: clients, people, codes, tokens, sessions, clock, options
    people.py     who lives in it
    faults.py     what can be made to go wrong       journal.py   what was called
    authorize.py  the browser's half                 account.py   the person's own pages
    tokens.py     the client's half                  oidc.py jwt.py   OpenID Connect
    record.py affiliations.py errors.py              the record API
    limits.py        how often one may call
    visit.py         a browser in the same process, for tests
    admin.py      to steer it from outside           app.py       all of it as one WSGI application
"""
