"""What an introspection costs when something grows that should cost it nothing.

    main             the whole run
    options          what is asked for, and what has to be there
    window           one window of load, and what it cost; a point is several of them
    seeding          many tokens in a store, and a fair choice of them
    tokens, connections, hits, nodes
                     what grows, a file each: they make points
    pictures         the plots and the page, computed from the points and nothing else
    selftest         holds what is arithmetic

All of it stands on `bench/ground`.
"""
