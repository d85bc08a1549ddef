// Package handshake is what an agent and a plugin process must agree on before they can talk: the version of their protocol,
// the cookie that tells a plugin it was started by an agent and not by a person, and the credentials of their connection.
package handshake

// ProtocolVersion is the version of action.v1 that this build speaks. A plugin of another version is refused.
const ProtocolVersion = 1

// The magic cookie is no secret: it only keeps a person who starts a plugin by hand from waiting for something to happen.
const (
	CookieKey   = "BANDFLEET_PLUGIN"
	CookieValue = "a6b3f1c04d1f4f0f9d0c5f2b7f0d8e21"
)

// PluginName is the name under which the one service of a plugin process is dispensed.
const PluginName = "action"

// MaxMessage is the greatest gRPC message between an agent and a plugin, in bytes, either way.
const MaxMessage = 4 << 20
