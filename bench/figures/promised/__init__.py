"""What is promised of the speed, beside what a folder of results says was measured.

    main       the command line
    rows       each promise with its figure, where it comes from and how it is made
    curve      the latency-throughput curve of a sweep
    block      the part of a page between two marks, which is written and checked
    selftest   holds all of this, on a folder of samples

It reads what `bench/compare/run` and the commands beside it have written, and stands on `bench/ground` and on the
verdicts of the comparison.
"""
