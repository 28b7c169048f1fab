"""The one exception type for mistakes a user can make."""


class UserError(Exception):
    """A mistake of the user's: bad path, unknown name, mesh that does not divide, full disk.

    The command line prints the message on one line and exits with code 2, without a traceback.
    The message names the value, the place and the remedy.
    """
