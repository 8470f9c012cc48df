# TODO: write the whole revision: docstring, imports, revision identifiers, upgrade(), downgrade().
# It makes the table example_items with the columns id and name, and takes it away again.
