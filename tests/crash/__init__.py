"""The crash simulator: records what a workload does to its files and judges what a crash could have left.

recorder.c   what the process does to the files of one folder, in order
log.py       that record, parsed
disk.py      the folder at every point of the record: what is durable, what is pending
image.py     one thing that a crash could have left of it
session.py   a workload under the recorder, and the contents that it commits
activities.py, catalogue.py   the workloads, and the scenarios made of them
header.py    changes of the header that the package has no command for
judge.py     opens an image and says what is wrong with it
recovery.py  what a crash left, recovered under the recorder, to be crashed again
medium.py    syncs and writes that fail, and what is lost with them; failing.py runs scenarios with those
keys.py      keys that come and go on such a medium; setup.py, flavour.py   how a database is opened
campaign.py  scenarios times states; worker.py and __main__.py run it
broken_builds.py   engines that are broken on purpose, which a campaign must notice
"""
