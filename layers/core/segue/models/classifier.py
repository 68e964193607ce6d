"""Model 2: the probability that the listener plays a track to its end."""

from segue.features.encoder import FloatArray
from segue.features.listeners import encode_listener, user_columns
from segue.models.bundle import Bundle
from segue.models.model import Listener


class Classifier:
    """The network over every pair of listener and track, evaluated for the whole catalogue.

    Its first layer is a sum of a listener's and a track's part, so the track's part (``hidden``,
    and ``factors`` for the product of the two) is computed once, when the bundle is written. That
    is the same network, not an approximation of it.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._encoder = bundle.encoder
        self._features = bundle.features
        self._hidden = bundle.array("classifier/hidden.npy")
        self._factors = bundle.array("classifier/factors.npy")
        self._network = bundle.session("classifier/head.onnx")

    def score(self, listener: Listener) -> FloatArray:
        profile = self._encoder.encode_users(user_columns([listener.user]))[0]
        vector = encode_listener(profile, listener.history, self._features)
        feeds = {"listener": vector, "hidden": self._hidden, "factors": self._factors}
        scores: FloatArray = self._network.run(["scores"], feeds)[0]
        return scores
