"""Floors, peers and us, under the same load at nearly the same time.

    main               the whole run
    options, needs     what is asked for, and what has to be there
    machine            which machine this is, and which of its cores do what
    process, kernel    programs that are started and always ended; what the kernel says of them
    redis              a Redis of one's own, and what it has counted
    site               where a token can be asked about, and whether the answers are right
    targets            what is measured, a file each
    wrk, open_loop, redis_benchmark
                       the tools that ask
    rounds             who is measured when
    figures, verdicts, report
                       what came out, whether it is enough, and how it is told
    selftest           holds all of this that is arithmetic or parsing

Targets know the rooms above them, rounds knows targets and tools, and figures knows nothing but records.
"""
