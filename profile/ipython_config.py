"""Settings of IPython for this profile."""

c = get_config()  # noqa: F821
c.InteractiveShellApp.ignore_cwd = True  # nothing is imported from the working directory, which others may write to
