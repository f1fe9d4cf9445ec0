"""What every figure of the report means. Keys are anchors of the page."""

from __future__ import annotations

DEFINITIONS: dict[str, tuple[str, str]] = {
    "objects": (
        "Objects",
        (
            "Stored files of the newest inventory of every place: current objects, earlier"
            " versions, delete markers and incomplete uploads."
        ),
    ),
    "stored-bytes": (
        "Stored bytes",
        (
            "Sizes of these objects as their store lists them, in powers of 1000 (1 GB is"
            " 1,000,000,000 bytes). Copies that a provider keeps for itself are not counted"
            " here, but in energy and carbon. Incomplete uploads have no known size and count as"
            " objects only."
        ),
    ),
    "share": (
        "Share",
        "Of the stored bytes of all objects.",
    ),
    "cost": (
        "USD a month",
        (
            "What keeping these objects for a month costs at list prices: billed size (some"
            " classes have a least size), metadata of archive classes and monitoring; no"
            " requests, discounts or taxes. In brackets the cheapest and the dearest band of the"
            " list."
        ),
    ),
    "carbon": (
        "CO₂e a month",
        (
            "The carbon of keeping these objects for a month: of the electricity of their share"
            " of drives and buildings (running), and of making the drives and racks (hardware),"
            " spread over their life. In brackets what it lies between, meant as about 90 %. A"
            " model estimate of an attributed footprint, not an inventory: never add it to a"
            " provider's figures."
        ),
    ),
    "energy": (
        "kWh a month",
        (
            "Electricity of the drives that hold these objects for a month, with their copies"
            " and the overhead of the building. In brackets what it lies between."
        ),
    ),
    "part": (
        "A figure followed by +",
        (
            "It leaves out objects of which the fact is not known (a class without a price, a"
            " region without a grid, local files). What is left out is listed; it never counts"
            " as zero."
        ),
    ),
    "tier": (
        "Tier",
        (
            "Storage classes of all providers by how they are read: hot, intelligent, cool,"
            " cold, archive, deep_archive; classes that this program does not know are unknown."
        ),
    ),
    "region": (
        "Region",
        "As greendata.yaml declares it for the dataset that an object is in.",
    ),
    "dataset": (
        "Dataset",
        "A named set of prefixes, as greendata.yaml declares it or as a scan was given it.",
    ),
    "format": (
        "Format",
        "What a scan found in the object; of others, the ending of the name.",
    ),
    "state": (
        "State",
        (
            "Current objects; earlier versions in versioned buckets; delete markers; incomplete"
            " multipart uploads."
        ),
    ),
    "intensity": (
        "Software Carbon Intensity",
        (
            "((E x I) + M) per R of ISO/IEC 21031, where R is one dataset kept for a month, or"
            " a million unique documents kept for a month. The boundary is storage; jobs and"
            " training are not counted. Removing duplicates lowers both."
        ),
    ),
    "documents": (
        "Documents",
        "Texts (or rows) that scans read in these objects.",
    ),
    "redundant-documents": (
        "Redundant documents",
        (
            "Documents whose text another document that is kept has too: identical (exact), or"
            " with a Jaccard similarity of their shingles at or above the threshold, computed"
            " from both texts (near). Candidates that could not be verified are never counted."
        ),
    ),
    "redundant-text": (
        "Redundant text",
        "UTF-8 bytes of the texts of redundant documents.",
    ),
    "redundant-bytes": (
        "Redundant stored bytes",
        (
            "Stored bytes of redundant documents, estimated for each object as its size times"
            " their share of its text. What they cost a month is at the price, energy and carbon"
            " of where they are: an upper bound of what freeing them saves, because objects have"
            " to be rewritten or removed for it."
        ),
    ),
    "within-across": (
        "Within and across",
        "Redundant documents whose kept partner is in the same dataset, and in another one.",
    ),
    "identical": (
        "Identical objects",
        (
            "Objects of which the bytes of another one, proved by SHA-256 of both, are the"
            " same; one of each group is not counted."
        ),
    ),
    "overlap": (
        "Overlap",
        (
            "The share of the documents of the row's dataset that are in the column's dataset,"
            " by identical text or verified similarity. It is not symmetric."
        ),
    ),
    "group": (
        "Duplicate group",
        (
            "One kept document and all that are redundant because of it. Lowest similarity is"
            " that of the member least like it."
        ),
    ),
    "scan": (
        "Scan",
        (
            "What each committed scan counted over the URIs it was given. Points of the same"
            " URIs are joined; scans of different URIs are not comparable."
        ),
    ),
    "refresh": (
        "Refresh",
        "A listing, report or access log taken into the inventory: of what places, as of when.",
    ),
    "run": (
        "Run",
        (
            "One attempt to carry out a plan, with its newest outcomes: done, pending until"
            " something is due, skipped (the object changed, is held, and so on), or failed."
        ),
    ),
    "realised": (
        "Realised",
        (
            "Actions that have taken effect, and what they save a month: of tier moves, tags"
            " and aborted uploads when they are done; of what is quarantined, expired, relocated"
            " or recompressed from the purge on, which is when bytes are gone. Undone ones do"
            " not count. Negative where keeping things costs more since."
        ),
    ),
    "saved": (
        "Saved up to now",
        "Of realised actions, what they save a month times the months since then.",
    ),
    "waiting": (
        "Waiting",
        "Actions that are done and save nothing until their purge, or that are pending.",
    ),
    "net": (
        "Net saving",
        (
            "What was saved up to now, less what the actions cost once and less what the runs"
            " themselves used, where it was metered."
        ),
    ),
    "planned": (
        "Planned saving",
        (
            "What the actions of a plan or run save a month once all of them have taken effect,"
            " at list prices; negative where it costs more."
        ),
    ),
    "fees": (
        "USD once",
        (
            "Requests, retrieval, transitions, minimum durations still owed, and storage of"
            " what is kept until its purge."
        ),
    ),
    "payback": (
        "Payback",
        "When the saving has made up for what the actions cost once.",
    ),
    "refused": (
        "Refused",
        (
            "Objects that a policy wanted to act on and must not: held, protected, without"
            " proof of a copy, with an unknown price, not paying back."
        ),
    ),
    "irreversible": (
        "Irreversible",
        "Actions that cannot be undone after their purge; until then they can.",
    ),
    "coefficient": (
        "Coefficient",
        (
            "A number of the model with what it lies between; measured, published, derived or"
            " assumed, as its grade says."
        ),
    ),
}
"""Key: the term, and what it means."""
