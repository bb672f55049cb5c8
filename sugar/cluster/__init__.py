"""Ten million photos on engines that others keep: Ray Data embeds them, Lance keeps and searches them.

    report = index(Job("photos", "s3://sets/museum.lance", partial(Sugar.from_pretrained, "smolvlm-256m")))
    collection = Collection.open("s3://sets/museum.lance", model)      # read-only, otherwise as a Gallery
    delete(uri, ids); compact(uri)                                     # tombstones; the vectors go

Ray and Lance are imported here only, when they are used; requirements.txt beside this has them. What a
cluster costs and where each part ends: README.md. Not covered: galleries of a person (sugar/gallery).
"""

from sugar.cluster.collection import Collection
from sugar.cluster.job import Job, JobReport, index
from sugar.cluster.table import compact, delete, holding, shown

__all__ = ["Collection", "Job", "JobReport", "compact", "delete", "holding", "index", "shown"]
