package policy

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/catalogue"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/store"
)

// guardrails are those of the policies that come with the server, and what a policy has that says nothing of them.
func guardrails() *agentv1.Guardrails {
	return &agentv1.Guardrails{MaxAttempts: 3, Period: durationpb.New(time.Hour), Cooldown: durationpb.New(2 * time.Minute)}
}

// defaults are the policies that come with the server. All that interrupts what works asks a person.
func defaults() []*fleetv1.Policy {
	auto, ask := fleetv1.PolicyMode_POLICY_MODE_AUTO, fleetv1.PolicyMode_POLICY_MODE_ASK
	return []*fleetv1.Policy{{
		Name: "start-stopped-services", Order: 1000, Mode: auto, AskWhenDisruptive: true, AnyTime: true, Reflex: true,
		Entries: []string{
			"console-iis-stopped", "lock-disconnect-from-agent", "lock-nbe-missing", "lock-status-connection-error", "nbe-missing", "ndes-ca-unreachable",
			"nymi-agent-missing",
		},
		Description: "starts services that have stopped, at any time, also while the server is away",
	}, {
		Name: "read-and-collect", Order: 1010, Mode: auto, Actions: readers(), Kinds: []string{string(catalogue.Auto)},
		Description: "runs what only reads: diagnoses, probes, scans and archives of logs",
	}, {
		Name: "fix-settings-without-interruption", Order: 1020, Mode: auto, AskWhenDisruptive: true, Entries: []string{"nba-nes-url-wrong"},
		Description: "puts settings right where nothing stands still meanwhile, in maintenance windows",
	}, {
		Name: "guided-by-people", Order: 1030, Mode: ask, Kinds: []string{string(catalogue.Guided)},
		Description: "makes a guided task where only a person can help",
	}, {
		Name: "ask-for-the-rest", Order: 1040, Mode: ask, AskWhenDisruptive: true,
		Description: "prepares the remedy of everything else and waits for a person's approval",
	}}
}

// makeDefaults makes the policies that come with the server, once in the life of a store: one that was deleted stays so.
func (e *Engine) makeDefaults(ctx context.Context) error {
	return e.cfg.Store.Update(ctx, func(w store.Writer) error {
		_, err := w.Get(store.TableMeta, store.Key(store.KeyPolicies))
		if err == nil || !errors.Is(err, store.ErrNotFound) {
			return err
		}
		for _, d := range defaults() {
			d.Guardrails, d.Builtin, d.Changed = guardrails(), true, timestamppb.New(e.cfg.Now())
			d.Etag = etagOf(d)
			if err := errors.Join(write(w, d), e.audit(w, nil, "policy.set", d, "comes with the server", changes(nil, d)...)); err != nil {
				return err
			}
		}
		return w.Put(store.TableMeta, store.Key(store.KeyPolicies), store.Number(uint64(len(defaults()))))
	})
}
