"""`lookright annotate`: a local page on which a person says where a classifier should look.

What it writes are signed masks in `annotators/<name>/`, which lookright's readers read.
"""
