"""The errors and warnings that lookright raises for people to read.

Every message names the argument or the file, says what was got, and says what to do.
"""


class LookrightError(Exception):
    """Base of lookright's own errors: a user's mistake or a broken input, never a bug of ours.

    The command line prints the message alone and exits with code 2.
    """


class ConfigError(LookrightError, ValueError):
    """An option, or a combination of options, that cannot work."""


class DataError(LookrightError, ValueError):
    """An image, an annotation or a data folder that cannot be used."""


class CheckpointError(LookrightError, ValueError):
    """A checkpoint or weight file that is missing, damaged or of another model."""


class NonFiniteError(LookrightError, ArithmeticError):
    """A loss or an explanation became NaN or infinite."""


class ToldElsewhereError(LookrightError):
    """Another process of this run has said what is wrong; the command line adds nothing to it."""


class LookrightWarning(UserWarning):
    """Something works, but probably not as its user thinks."""
