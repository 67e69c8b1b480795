"""What a login tells by how long it takes, and what a flood of logins does to introspection.

    main             the whole run
    options          what is asked for, and what has to be there
    users            a node with accounts, and users in it
    timing           how long each kind of login takes
    flood            introspection without and with logins, by turns
    offer            a program of its own that offers logins at a fixed rate
    page             the tables and the picture, computed from what was measured and nothing else
    selftest         holds what is arithmetic

All of it stands on `bench/ground`.
"""
