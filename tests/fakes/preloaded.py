"""What the processes of `killable` share: everything imported, nothing started."""

import xapi.server
from xapi import actions

actions.load()
__all__ = ["xapi"]
