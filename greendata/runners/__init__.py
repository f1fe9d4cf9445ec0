"""Where the heavy steps of a scan run: threads of this process, or tasks of a Ray cluster.

What a runner is asked for is one thing, a function on many tasks (``base``). Everything else is in
``greendata.jobs``: ``spread_reading`` (objects to fingerprints), ``spread_members`` (keys sorted
into ranges, each range looked through), ``spread_verifying`` (texts to shingle sets, sets
compared). What tasks leave for each other are files (``exchange``), never objects of a store, so
that memory is bounded by the tasks in flight, and a machine that dies takes nothing along that is
not done again. Rounds of verification, the keep decision, overlaps and the commit stay with the
scan's process: the same rounds ask for the same pairs, whoever compares them, which is why results
are equal row by row.

**How 10**11 documents would run**, by calculation from a scan of 5.17 GB (4.98 million documents of
1 KB, 20 % near-duplicates, 2 Ray workers on two shared cores of an AMD EPYC, ``scripts/bench/
ray_runner.py``). Processor seconds a million documents, and what they come to:

===============  =======  ============================  ======================================
step             CPU s/M  at 10**11, 1,000 cores        bytes a document; at 10**11
===============  =======  ============================  ======================================
read, keys       6.4      0.18 h                        420 in (zstd), 148 out; 42 TB, 15 TB
sort keys        1.1      0.03 h                        128 in, 256 out; 13 TB, 26 TB
find members     1.3      0.04 h                        256 in; 26 TB
shingle sets     4.5      0.13 h                        420 in, 457 out; 42 TB, 46 TB
compare          1.5      0.04 h                        457 in at least; 46 TB
the scan itself  7.1      197 h of one core (DuckDB's   fingerprints twice more; 30 TB
                          part of it on all its cores)
===============  =======  ============================  ======================================

Tasks take 0.4 h of 1,000 cores; the 285 TB that they read and write take 0.8 h on 100 machines of
1 GB/s each to a shared folder. A task has at most 64 MiB of stored data (or one object), 131,072
documents' keys (34 MB), a range of keys (64 MiB, 250 MB while it is looked through), 16,384 texts,
or 64 MiB of sets: half a GB a worker. In the object store are the pieces of two tasks a worker, of
at most 32 MiB each, and only where no folder is shared.

What does not reach 10**11 today, and what would have to be done:

* Ranges are at most 2**12, so above 10**9 documents they grow: at 10**10 to 0.6 GB each, 2.3 GB
  while looked through. Beyond, a second level of sorting is needed.
* Rows of fingerprints are told apart by 32 bits: of more than 4 * 10**9 documents in one catalog
  near-duplicates are refused. Beyond, rows must have 64 bits until shared keys are found.
* Ranks are 32-bit, and the scan's process holds about 100 bytes for each candidate text (36 % of
  the documents here): 2**31 of them, 6 * 10**9 documents, 215 GB, 12 h. Beyond, texts must be
  divided by connected groups, which share no pair: 64 parts of 3 h and 56 GB each would be 10**11.
* Without a shared folder about 2 KB a document go through the scan's machine: 11 minutes for 10**9
  documents at 3 GB/s.
"""
