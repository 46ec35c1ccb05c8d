"""The errors of the contract, by code; calling one with its parameters makes the failure to raise."""

from xapi.datamodel.errors.general import *
from xapi.datamodel.errors.host import *
from xapi.datamodel.errors.network import *
from xapi.datamodel.errors.pool import *
from xapi.datamodel.errors.storage import *
from xapi.datamodel.errors.vm import *
from xapi.datamodel.failure import ErrorCode as ErrorCode
from xapi.datamodel.failure import Failure as Failure

ERRORS: dict[str, ErrorCode] = {name: value for name, value in globals().items() if isinstance(value, ErrorCode)}
