"""What is true of the records, whoever wrote them: the invariants, as pure rules over rows.

Rules see rows as mappings with the names of PostgreSQL's columns, so that PostgreSQL and any twin
of it are judged by the very same functions: `judging.broken_in` takes all tables as rows, `reading`
brings those of a real database, page by page, `nodes.broken_on` holds a node's list to the rows.

| rule | says |
|---|---|
| I1, I1b, I2, I3, I14 | nodes let in whom the rows say, and nobody else (`nodes`) |
| I4 | money has the time, the refund and the story that it should have (`money`) |
| I5, I12 | nothing waits for too long, or somebody was told (`waiting`, `acts`) |
| I6, I8, I9, I10, I16 | keys fit to access, and go on for ever (`keys`) |
| I7, I17 | each second is explained (`paid_time`) |
| I11 | nothing is held while nothing is asked (`acts`) |
| I13, I15 | owners' acts are recorded, and removals stay within their guard (`acts`) |
"""
