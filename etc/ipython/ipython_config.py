# Installed as PREFIX/etc/ipython/ipython_config.py, this gives each kernel and each IPython of the environment the lab's
# magics. It appends to `extra_extensions`: a list that a person assigns to `extensions` in a profile of theirs neither
# replaces ours nor is replaced by it.
c = get_config()  # noqa: F821 - IPython defines it
c.InteractiveShellApp.extra_extensions.append("migration_lab.notebook")
