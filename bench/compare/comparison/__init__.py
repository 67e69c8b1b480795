"""Floors, peers and us, under the same load at nearly the same time.

    main               the whole run
    options, needs     what is asked for, and what has to be there
    targets            what is measured, a file each
    wrk, redis_benchmark
                       the tools that ask, beside that of the open loop
    rounds             who is measured when
    verdicts, report   whether it is enough, and how it is told
    selftest           holds all of this that is arithmetic or parsing

All of it stands on `bench/ground`. Targets know nobody else, rounds knows targets and tools.
"""
