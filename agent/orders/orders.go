// Package orders keeps what the server has ordered the agent to look for and what it may remedy by itself. It is in the journal, so that the
// agent goes by it while the server is away and after a restart. Package link hands it what the server sends; it hands it on to whoever goes
// by it: packages detect, logs and reflex.
package orders

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/orders"
)

// Journal is where orders are kept. Package agent/journal implements it.
type Journal interface {
	// Orders returns nil, without an error, before the first.
	Orders() (*agentv1.Orders, error)
	PutOrders(o *agentv1.Orders) error
}

// Taker goes by orders. Take either goes by all of them from now on, or says what is wrong with them and goes on by the earlier ones. The
// orders must not be changed.
type Taker interface {
	Take(o *agentv1.Orders) error
}

// Keeper keeps orders. It is safe for concurrent use.
type Keeper struct {
	journal Journal
	takers  []Taker
	log     *slog.Logger

	mu      sync.Mutex
	current *agentv1.Orders
}

// Open takes up the orders of an earlier process and has the takers go by them. Those that this build does not understand any more are
// left in the journal and not gone by: the server sends others.
func Open(j Journal, log *slog.Logger, takers ...Taker) (*Keeper, error) {
	k := &Keeper{journal: j, takers: takers, log: log, current: &agentv1.Orders{}}
	kept, err := j.Orders()
	if err != nil || kept == nil {
		return k, err
	}
	if err := k.distribute(kept); err != nil {
		log.Warn("the orders that were kept are not understood; nothing is looked for until the server sends others", "cause", err)
		return k, k.distribute(k.current)
	}
	k.current = kept
	return k, nil
}

// Version names the orders that are gone by.
func (k *Keeper) Version() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if v := k.current.GetVersion(); v != "" {
		return v
	}
	return orders.None
}

// Take goes by other orders and answers the server. Orders that are refused change nothing, for any of the takers.
func (k *Keeper) Take(o *agentv1.Orders) *agentv1.OrdersTaken {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.take(o); err != nil {
		k.log.Warn("orders of the server were refused; the earlier ones hold", "orders", clip(o.GetVersion()), "cause", err)
		return &agentv1.OrdersTaken{Version: clip(o.GetVersion()), Problem: clipTo(err.Error(), maxProblem)}
	}
	return &agentv1.OrdersTaken{Version: k.current.GetVersion()}
}

func (k *Keeper) take(o *agentv1.Orders) error {
	if o.GetVersion() != "" && o.GetVersion() == k.current.GetVersion() {
		return nil
	}
	if o.GetUnchanged() {
		return fmt.Errorf("orders %.12q: are not those that this agent has; send all of them", o.GetVersion())
	}
	if err := orders.Check(o); err != nil {
		return err
	}
	if err := k.distribute(o); err != nil {
		return errors.Join(err, k.distribute(k.current))
	}
	if err := k.journal.PutOrders(o); err != nil {
		return errors.Join(fmt.Errorf("orders %.12s: cannot be kept: %w", o.GetVersion(), err), k.distribute(k.current))
	}
	k.log.Info("going by other orders", "orders", o.GetVersion(), "catalogue", o.GetCatalogueVersion(),
		"states", len(o.GetStates()), "logs", len(o.GetLogs()), "reflexes", len(o.GetReflexes()), "frozen", o.GetFrozen())
	k.current = o
	return nil
}

// distribute has every taker go by o, in order, up to the first that does not.
func (k *Keeper) distribute(o *agentv1.Orders) error {
	for _, t := range k.takers {
		if err := t.Take(o); err != nil {
			return err
		}
	}
	return nil
}

// clip bounds what is repeated of a version that the server has made up.
func clip(version string) string { return clipTo(version, 64) }

// maxProblem bounds what the server is told of why orders were refused, in bytes.
const maxProblem = 1024

func clipTo(s string, most int) string { return strings.ToValidUTF8(s[:min(len(s), most)], "") }
