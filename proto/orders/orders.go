// Package orders says what orders for an agent are called and what makes sense of them: the server names them by it, and the agent checks
// what it is sent. Orders that an agent does not understand are refused whole, so that it never goes by half of them.
package orders

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"google.golang.org/protobuf/proto"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// None is what an agent calls the orders that it has not got yet.
const None = "none"

// Version returns the name of orders: lower case hexadecimal SHA-256 over all but the version itself.
func Version(o *agentv1.Orders) (string, error) {
	bare := proto.CloneOf(o)
	bare.Version, bare.Unchanged = "", false
	content, err := proto.MarshalOptions{Deterministic: true}.Marshal(bare)
	if err != nil {
		return "", fmt.Errorf("orders: %w", err)
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:]), nil
}

// Unchanged says to an agent that it goes by the right orders already.
func Unchanged(version string) *agentv1.Orders {
	return &agentv1.Orders{Version: version, Unchanged: true}
}

// Check says what keeps orders from making sense. Whether a rule's texts can be matched is for whoever matches them.
func Check(o *agentv1.Orders) error {
	if size := proto.Size(o); size > MaxSize {
		return fmt.Errorf("orders: have %d bytes, at most %d are taken", size, MaxSize)
	}
	version, err := Version(o)
	if err != nil {
		return err
	}
	if o.GetVersion() != version {
		return fmt.Errorf("orders %.12q: their content has the version %.12q; send them again", o.GetVersion(), version)
	}
	if err := checkAll(o); err != nil {
		return fmt.Errorf("orders %.12s: %w", version, err)
	}
	return nil
}

func checkAll(o *agentv1.Orders) error {
	k := newKnown()
	if err := each("state rules", o.GetStates(), MaxStates, k.state); err != nil {
		return err
	}
	if err := each("log rules", o.GetLogs(), MaxLogs, k.log); err != nil {
		return err
	}
	if err := each("reflexes", o.GetReflexes(), MaxReflexes, reflex); err != nil {
		return err
	}
	return text("frozen_reason", o.GetFrozenReason(), maxReason)
}

// each checks a list and names the element that is wrong.
func each[T any](what string, list []T, most int, check func(T) error) error {
	if len(list) > most {
		return fmt.Errorf("%d %s, at most %d are taken", len(list), what, most)
	}
	for i, e := range list {
		if err := check(e); err != nil {
			return fmt.Errorf("%s: number %d: %w", what, i+1, err)
		}
	}
	return nil
}
