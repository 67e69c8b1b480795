"""What everything here stands on that measures whole processes on loopback.

    machine            which machine this is, and which of its cores do what
    process, kernel    programs that are started and always ended; what the kernel says of them
    redis              a Redis of one's own, and what it has counted
    site               where a token can be asked about, and whether the answers are right
    node               an introspectd of one's own
    open_loop          introspectd-load, the tool that asks at a fixed rate and looks at every answer
    figures            medians over windows, with their spread
    plot               a plot as SVG
    results            where results are kept, and what is said of how they were made

The comparison, the figures and the table are made of these; none of these knows one of them.
"""
