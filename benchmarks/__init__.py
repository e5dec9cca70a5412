"""How fast: ratios to the same library without encryption, and what else it costs.

What is measured:

speed.py         workloads against plaintext, in pairs of processes
opening.py       first and later connections
scaling.py       size of the database, connections, threads, processes
memory.py        private memory of an open file
offline.py       encrypt, verify and decrypt, whole files

With what:

workloads.py     what speed.py times
subjects.py      whose databases: plaintext, lumocrypt in its settings, peers
environments.py  the virtual environments of the peers, and what is installed there
child.py         one fresh process, which runs one job of one of the modules above
processes.py     starts them
measured.py      pairs of times; medians and their uncertainty
control.py       measures beside the control that makes it void or not
limits.py        of this process
machine.py       what it was measured on

What comes of it:

results.py       results.json: all campaigns, merged
table.py         Markdown
prose.py         where lumocrypt loses, in words
charts.py        SVG
document.py      README.md, docs/speed.md and the charts, made from results.json
targets.py       what was promised, and whether it holds

``make bench`` runs everything; ``python -m benchmarks --help`` a part.
"""
