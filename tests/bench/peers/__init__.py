# SPDX-License-Identifier: MIT
"""The servers that Muster is measured beside, in the order of the table: a file each."""
from .centrifugo import Centrifugo, CentrifugoPresence
from .mosquitto import Mosquitto
from .muster import Floor, Muster
from .nats import Nats
from .nchan import Nchan
from .socketio import SocketIo
from .ws import Ws

PEERS = [Muster(), Floor(), Centrifugo(), CentrifugoPresence(), SocketIo(), Ws(), Nchan(), Nats(), Mosquitto()]
