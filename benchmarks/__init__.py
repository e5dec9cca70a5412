"""How fast: ratios to the same library without encryption.

workloads.py  what is timed
subjects.py   whose databases: plaintext, lumocrypt in its settings, peers in environments of their own
child.py      one fresh process: one workload of one subject
pairs.py      many pairs of them, alternating; medians and their uncertainty
report.py     the table
"""
