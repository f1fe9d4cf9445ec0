"""The only stage that changes stores: plans carried out, undone, purged and audited.

A run is one attempt at one plan. All that is known of it lies in one folder beside the catalog,
``runs/RUN/``: the plan as it was read, and journals of what was done (``apply``), taken back
(``undo``) and finally removed (``purge``). A journal is read again after a crash; then every action
whose outcome it does not have is settled by looking at the store, so that nothing depends on what
the last lines of a journal were.

For each action: what must be known to take it back is read; the intent with it is made durable;
the object is looked at again and compared with the plan; the store is changed under a condition;
what is stored is verified; the outcome is written. Handlers are idempotent: done twice, an action
has the effect of once. Before each change the lease of that store must last longer than the call
may take.

Nothing is ever deleted here but by ``purge``: what is replaced or removed goes to quarantine (a
delete marker or an earlier version where the bucket keeps versions, else
``.greendata/quarantine/RUN/``), and whatever it was removed in favour of is pinned in its store
(``.greendata/pins/``) until then.
"""
